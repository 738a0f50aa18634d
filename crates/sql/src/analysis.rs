//! From bytes to statements: encoding, parse, one walk per statement, names resolved in order.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::Arc;

use model::{Operation, SettingChange, SqlFacts, Unknown};

use crate::canonical::{Kept, Marks};
use crate::catalog::Catalog;
use crate::context::{BareNames, Context, Encoding, Known, SearchPaths};
use crate::findings::Findings;
use crate::resolve::SharedPaths;
use crate::timeline::{Extent, Step, Timeline};
use crate::walk::{self, Environment, Places};
use crate::{canonical, limits, mistake, ops, parse, resolved as catalogued, shape, shift};

/// A submission taken apart. Never without a statement.
#[derive(Debug, Clone)]
pub struct Analysis {
    statements: Vec<Statement>,
    error: Option<ParseFailure>,
}

/// PostgreSQL's grammar refuses the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseFailure {
    /// PostgreSQL's message. It may quote the text.
    pub message: String,
    /// Byte offset of the token at which it stopped, if that is certain.
    pub position: Option<usize>,
}

/// One statement of a submission.
#[derive(Debug, Clone)]
pub struct Statement {
    facts: Arc<SqlFacts>,
    references: Vec<NameRef>,
    effects: Vec<Effect>,
    range: Range<usize>,
    form: Option<String>,
}

/// What kind of name a session keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// A prepared statement, whether made by SQL or by the protocol.
    Statement,
    /// A cursor or a protocol portal: one namespace.
    Cursor,
}

/// A name whose definition a statement runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameRef {
    /// Which kind.
    pub kind: NameKind,
    /// The name.
    pub name: String,
}

/// What a statement does to the session once it has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// PREPARE.
    Prepare {
        /// The name.
        name: String,
        /// What executing it does.
        facts: Arc<SqlFacts>,
    },
    /// DEALLOCATE; `None` is ALL.
    Deallocate {
        /// The name.
        name: Option<String>,
    },
    /// DECLARE CURSOR.
    Declare {
        /// The name.
        name: String,
        /// What fetching from it does.
        facts: Arc<SqlFacts>,
        /// WITH HOLD: it outlives its transaction.
        hold: bool,
    },
    /// CLOSE; `None` is ALL.
    Close {
        /// The name.
        name: Option<String>,
    },
    /// DISCARD.
    Discard(Discarded),
    /// `search_path` changes.
    SearchPath(NewSearchPath),
    /// A COPY sub-protocol starts.
    Copy,
    /// The session's own relations change.
    Own(Step),
}

impl Effect {
    /// What it does to the session's own relations.
    pub const fn step(&self) -> Option<&Step> {
        match self {
            Self::Own(step) => Some(step),
            Self::Prepare { .. }
            | Self::Deallocate { .. }
            | Self::Declare { .. }
            | Self::Close { .. }
            | Self::Discard(_)
            | Self::SearchPath(_)
            | Self::Copy => None,
        }
    }
}

/// What DISCARD throws away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// Everything.
    All,
    /// Cached plans.
    Plans,
    /// Sequence state.
    Sequences,
    /// Temporary tables.
    Temporary,
}

/// What `search_path` becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewSearchPath {
    /// These, as written: `"$user"` is not expanded. The old path may come back (SET LOCAL at the
    /// end of its transaction, any SET at a rollback): this is one more possibility, no certainty.
    Schemas(Vec<String>),
    /// The session's default.
    Reset,
    /// Not a constant.
    Unknown,
}

impl Analysis {
    /// The statements, in order; at least one.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The grammar's refusal, if it refused.
    pub const fn error(&self) -> Option<&ParseFailure> {
        self.error.as_ref()
    }

    /// Whether the grammar accepted the text.
    pub const fn is_ok(&self) -> bool {
        self.error.is_none()
    }

    fn unknown(length: usize, why: Unknown) -> Self {
        Self { statements: vec![Statement::new(SqlFacts::unknown(why), 0..length)], error: None }
    }

    fn failed(text: &str, message: String) -> Self {
        let position = mistake::place(text, &message);
        Self {
            error: Some(ParseFailure { message, position }),
            ..Self::unknown(text.len(), Unknown::ParseError)
        }
    }
}

impl Statement {
    fn new(facts: SqlFacts, range: Range<usize>) -> Self {
        let facts = Arc::new(facts);
        Self { facts, references: Vec::new(), effects: Vec::new(), range, form: None }
    }

    /// The facts, those of every prepared statement and cursor that it refers to included.
    /// A name that `lookup` does not know makes them unknown.
    pub fn facts(
        &self,
        lookup: &dyn Fn(NameKind, &str) -> Option<Arc<SqlFacts>>,
    ) -> Cow<'_, SqlFacts> {
        if self.references.is_empty() {
            return Cow::Borrowed(&self.facts);
        }
        let mut facts = SqlFacts::clone(&self.facts);
        for reference in &self.references {
            match lookup(reference.kind, &reference.name) {
                Some(definition) => facts.absorb(&definition),
                None => facts.absorb(&SqlFacts::unknown(Unknown::UnresolvedName)),
            }
        }
        Cow::Owned(facts)
    }

    /// The facts, if it refers to nothing else.
    pub fn own_facts(&self) -> Option<&Arc<SqlFacts>> {
        self.references.is_empty().then_some(&self.facts)
    }

    /// What runs under a name may change `search_path` too.
    fn admit_path_change(&mut self) {
        let tells = self.effects.iter().any(|effect| matches!(effect, Effect::SearchPath(_)));
        let defines = self
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Prepare { .. } | Effect::Declare { .. }));
        let changes = self.facts.settings.known().is_none_or(|settings| {
            settings.iter().any(|setting| {
                matches!(setting.name.as_str(), "search_path" | "*" | "all")
                    && setting.change != SettingChange::Stored
            })
        });
        // EXPLAIN alone plans: nothing that it names runs.
        let plans = self.facts.operations.known().is_some_and(|all| *all == [Operation::Explain]);
        if changes && !tells && !defines && !plans {
            self.effects.push(Effect::SearchPath(NewSearchPath::Unknown));
        }
    }

    /// Names that it runs and that no earlier statement of the submission makes.
    pub fn references(&self) -> &[NameRef] {
        &self.references
    }

    /// What it does to the session once it has run, in order.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// One spelling for all that is the same statement but for its values; its digest is a fact. `None` for what does
    /// not parse, or is too large.
    pub fn canonical_form(&self) -> Option<&str> {
        self.form.as_deref()
    }

    /// Where it stands in the submission, in bytes.
    pub fn text_range(&self) -> Range<usize> {
        self.range.clone()
    }
}

/// Takes a submission apart. Total: any bytes give at least one statement.
pub fn analyze(text: &[u8], context: &Context<'_>) -> Analysis {
    match readable(text, context) {
        // The parser's typed accessors panic on a tree that belies their types: that is unknown too.
        Ok(text) => catch_unwind(|| analyze_text(text, context))
            .unwrap_or_else(|_panic| Analysis::unknown(text.len(), Unknown::UnknownStatement)),
        Err(why) => Analysis::unknown(text.len(), why),
    }
}

/// The text as the server will read it, or why that is not certain.
pub(crate) fn readable<'t>(text: &'t [u8], context: &Context<'_>) -> Result<&'t str, Unknown> {
    if text.len() > limits::MAX_STATEMENT_BYTES {
        return Err(Unknown::TooComplex);
    }
    let ascii_only = match context.encoding {
        Encoding::Utf8 => false,
        Encoding::AsciiOnly | Encoding::Unknown => true,
    };
    if ascii_only && !text.is_ascii() {
        return Err(Unknown::Encoding);
    }
    if !context.standard_conforming_strings && text.contains(&b'\\') {
        return Err(Unknown::Encoding);
    }
    std::str::from_utf8(text).map_err(|_invalid| Unknown::Encoding)
}

fn analyze_text(text: &str, context: &Context<'_>) -> Analysis {
    let tree = match parse::parse(text) {
        Ok(tree) => tree,
        Err(message) if message == parse::TOO_LONG => {
            return Analysis::unknown(text.len(), Unknown::TooComplex);
        }
        Err(message) => return Analysis::failed(text, message),
    };
    let nodes_left = Cell::new(limits::MAX_NODES);
    // Looking up what is built in takes nothing from what has to be looked at.
    let steps_left = Cell::new(limits::MAX_BUILT_IN_STEPS);
    let mut names: HashMap<NameRef, Arc<SqlFacts>> = HashMap::new();
    let mut paths = Ahead::new(*context);
    let mut statements = Vec::new();
    for raw in tree.statements() {
        if statements.len() == limits::MAX_STATEMENTS {
            return Analysis::unknown(text.len(), Unknown::TooComplex);
        }
        let root = raw.stmt();
        let shared = SharedPaths::new();
        let environment = Environment::new(paths.context(), &shared, &nodes_left);
        let (found, places) = walk::whole(root, environment);
        let range = range(raw.stmt_location, raw.stmt_len, text.len());
        let left = (&nodes_left, &steps_left);
        let mut marks = canonical::is_about_rows(root).then(|| Marks::new(context.tenant_column));
        let known = (&paths.context(), &shared, &mut marks);
        let mut statement = resolved(root, found, &names, known, left);
        let form = canonical_form(
            (text, range.clone()),
            (root, places),
            &statement,
            (&paths.context(), &shared),
            marks,
        );
        Arc::make_mut(&mut statement.facts).digest = form.as_deref().map(canonical::digest);
        statement.form = form;
        if let Some(step) =
            catalogued::follow(root, &statement.facts, &paths.context(), &nodes_left)
        {
            paths.take(&step);
            statement.effects.push(Effect::Own(step));
        }
        if matches!(context.catalog, Known::BuiltIn(_)) && statement.facts.may_define() {
            paths.stale = true;
        }
        shift::outdate(&mut names, statement.shift(&statement.facts), &context.catalog);
        remember(&mut names, &statement.effects);
        paths.follow(&statement.effects);
        statements.push(Statement { range, ..statement });
    }
    if statements.is_empty() {
        statements.push(Statement::new(SqlFacts::of_nothing(), 0..text.len()));
    }
    let whole = shape::Submission::of(text, statements.len());
    for statement in &mut statements {
        whole.add_to(&mut Arc::make_mut(&mut statement.facts).shape);
    }
    Analysis { statements, error: None }
}

/// The canonical form of a statement.
fn canonical_form(
    (text, range): (&str, Range<usize>),
    (root, places): (parse::Node<'_>, Places<'_>),
    statement: &Statement,
    (context, shared): (&Context<'_>, &SharedPaths),
    marks: Option<Marks<'_>>,
) -> Option<String> {
    let by_place = |(place, name)| Some((usize::try_from(place).ok()?, name));
    let mut places: Vec<(usize, &str)> = places.into_iter().map(by_place).collect::<Option<_>>()?;
    places.sort_by_key(|(place, _)| *place);
    let resolve = |name: &str| catalogued::place(name, context, shared);
    let names = canonical::Names::new(&places, &resolve);
    let kept = marks.map_or(Kept::Unknown(context.tenant_column), Kept::Known);
    canonical::form((text, range), root, &statement.facts, (names, kept))
}

/// Turns findings into a statement; names that earlier statements made are looked up here.
fn resolved(
    root: parse::Node<'_>,
    mut found: Findings,
    names: &HashMap<NameRef, Arc<SqlFacts>>,
    (context, shared, marks): (&Context<'_>, &SharedPaths, &mut Option<Marks<'_>>),
    (nodes_left, steps_left): (&Cell<usize>, &Cell<usize>),
) -> Statement {
    let mut references = std::mem::take(&mut found.references);
    let mut effects = std::mem::take(&mut found.effects);
    let texts = std::mem::take(&mut found.texts);
    let named = std::mem::take(&mut found.named);
    let operation = ops::operation(root).unwrap_or(Operation::Unknown);
    let mut facts = found.into_facts(operation, ops::transaction_step(root));
    let hidden = shape::Hidden { texts: &texts, named: &named };
    facts.shape = shape::of(&facts, root, hidden, (context, shared), (nodes_left, marks));
    let left = if matches!(context.catalog, Known::BuiltIn(_)) { steps_left } else { nodes_left };
    catalogued::complete(&mut facts, root, &texts, context, left);
    hand_on(&mut effects, &facts);
    references.sort_unstable();
    references.dedup();
    references.retain(|reference| match names.get(reference) {
        Some(definition) => {
            facts.absorb(definition);
            false
        }
        None => true,
    });
    let facts = Arc::new(facts);
    let mut statement = Statement { facts, references, effects, range: 0..0, form: None };
    statement.admit_path_change();
    statement
}

/// What runs later under a name uses what its definition names.
fn hand_on(effects: &mut [Effect], facts: &SqlFacts) {
    for effect in effects {
        if let Effect::Prepare { facts: later, .. } | Effect::Declare { facts: later, .. } = effect
        {
            let mut defined = SqlFacts::clone(later);
            defined.relations.absorb(&facts.relations);
            defined.bodies.clone_from(&facts.bodies);
            defined.columns.clone_from(&facts.columns);
            defined.calls.clone_from(&facts.calls);
            defined.tenants.clone_from(&facts.tenants);
            defined.shape.clone_from(&facts.shape);
            *later = Arc::new(defined);
        }
    }
}

/// How the server will read the next statement, if all before it succeed: else it does not run.
struct Ahead<'c> {
    given: Context<'c>,
    /// The search paths that may be in force.
    possible: Option<Vec<Vec<String>>>,
    changed: bool,
    /// An earlier statement may have changed what exists.
    stale: bool,
    /// `None` is that of a new session.
    timeline: Option<Timeline>,
    /// With the session's own relations.
    seen: Option<Catalog>,
}

impl<'c> Ahead<'c> {
    fn new(given: Context<'c>) -> Self {
        let timeline = given.timeline.cloned();
        let mut ahead =
            Self { given, possible: None, changed: false, stale: false, timeline, seen: None };
        ahead.look();
        ahead
    }

    fn look(&mut self) {
        self.seen = match self.given.catalog {
            Known::Catalog(catalog) => match &self.timeline {
                Some(timeline) => Some(catalog.seen_by(self.given.role, timeline)),
                None => Some(catalog.seen_by_new(self.given.role)),
            },
            Known::Nothing | Known::BuiltIn(_) | Known::Stale => None,
        };
    }

    /// Follows what a statement does to the session's own relations.
    fn take(&mut self, step: &Step) {
        self.timeline.get_or_insert_default().take(step);
        self.stale |= match step {
            Step::Anything => true,
            Step::Made { extent, .. } => *extent == Extent::Unfollowed,
            Step::Commit
            | Step::Rollback
            | Step::Savepoint(_)
            | Step::Release(_)
            | Step::RollbackTo(_)
            | Step::DiscardTemporary
            | Step::DiscardAll => false,
        };
        self.look();
    }

    fn context(&self) -> Context<'_> {
        let search_paths = match (&self.possible, self.changed) {
            (Some(paths), _) => SearchPaths::Possible(paths),
            (None, true) => SearchPaths::Unknown,
            (None, false) => self.given.search_paths,
        };
        let catalog = match (self.given.catalog, &self.seen) {
            (Known::Nothing, _) => Known::Nothing,
            (Known::BuiltIn(_), _) if self.stale => Known::BuiltIn(BareNames::Redefined),
            (Known::BuiltIn(bare), _) => Known::BuiltIn(bare),
            (Known::Catalog(_), Some(seen)) if !self.stale => Known::Catalog(seen),
            (Known::Catalog(_) | Known::Stale, _) => Known::Stale,
        };
        Context { search_paths, catalog, ..self.given }
    }

    /// A changed path is one more possibility: a COMMIT or ROLLBACK may bring the old one back.
    fn follow(&mut self, effects: &[Effect]) {
        for effect in effects {
            let Effect::SearchPath(path) = effect else { continue };
            let known = match self.context().search_paths {
                SearchPaths::Possible(paths) => Some(paths.to_vec()),
                SearchPaths::Unknown => None,
            };
            let added = match path {
                NewSearchPath::Schemas(schemas) if !schemas.iter().any(|name| name == "$user") => {
                    Some(schemas.clone())
                }
                NewSearchPath::Schemas(_) | NewSearchPath::Reset | NewSearchPath::Unknown => None,
            };
            self.changed = true;
            self.possible = match (known, added) {
                (Some(mut paths), Some(added)) => {
                    if !paths.contains(&added) {
                        paths.push(added);
                    }
                    (paths.len() <= limits::MAX_PATHS).then_some(paths)
                }
                (Some(_), None) | (None, Some(_) | None) => None,
            };
        }
    }
}

/// A length of 0 means "to the end".
fn range(location: i32, length: i32, end: usize) -> Range<usize> {
    let start = usize::try_from(location).unwrap_or(0).min(end);
    match usize::try_from(length) {
        Ok(0) | Err(_) => start..end,
        Ok(length) => start..start.saturating_add(length).min(end),
    }
}

fn remember(names: &mut HashMap<NameRef, Arc<SqlFacts>>, effects: &[Effect]) {
    for effect in effects {
        match effect {
            Effect::Prepare { name, facts } => {
                let name = NameRef { kind: NameKind::Statement, name: name.clone() };
                names.insert(name, Arc::clone(facts));
            }
            Effect::Declare { name, facts, .. } => {
                let name = NameRef { kind: NameKind::Cursor, name: name.clone() };
                names.insert(name, Arc::clone(facts));
            }
            Effect::Deallocate { name } => forget(names, NameKind::Statement, name.as_deref()),
            Effect::Close { name } => forget(names, NameKind::Cursor, name.as_deref()),
            Effect::Discard(Discarded::All) => names.clear(),
            Effect::Discard(Discarded::Plans | Discarded::Sequences | Discarded::Temporary)
            | Effect::SearchPath(_)
            | Effect::Copy
            | Effect::Own(_) => {}
        }
    }
}

fn forget(names: &mut HashMap<NameRef, Arc<SqlFacts>>, kind: NameKind, gone: Option<&str>) {
    names.retain(|name, _| name.kind != kind || gone.is_some_and(|gone| gone != name.name));
}
