//! How a statement is built: [`model::Shape`] from the raw tree.
//!
//! What is here: the walk over queries with the names in scope at each place. What is not: a
//! catalog; a name that several references may have names all of them. Invariants: an equality is
//! kept only where every row that counts satisfies it; a column that may be used is never left out;
//! depth and work are bounded, and a bound that is reached makes the shape unknown.

mod columns;
mod equality;
mod expression;
mod from;
mod heavy;
mod modify;
mod query;
mod scope;

use std::cell::Cell;

use model::{
    Access, Fact, Heavy, Operand, Reference, RelationName, Rows, Shape, SqlFacts, Unknown,
};

use crate::canonical::Marks;
use crate::children::{ROOM, each_child};
use crate::context::{Context, SearchPaths};
use crate::limits;
use crate::parse::{self, Node, nodes};
use crate::resolve::SharedPaths;
use crate::{resolve, scanner, statements};
use columns::Columns;
use scope::Cte;

/// A part of the walk, or why there is no shape.
type Shaped<T> = Result<T, Unknown>;

/// One walk over one tree.
struct Shaper<'a, 'e> {
    context: Context<'e>,
    shared: &'e SharedPaths,
    left: &'e Cell<usize>,
    shape: Shape,
    columns: Columns<'a>,
    ctes: Vec<Cte<'a>>,
    depth: u32,
    /// Nodes that expressions under way still have to visit, each above those that were there when it began.
    stack: Vec<Node<'a>>,
}

/// Whether anybody asks what a query yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Yield {
    Wanted,
    Ignored,
}

/// What a statement touches beside what its text shows as references.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hidden<'h> {
    /// SQL texts that it runs.
    pub(crate) texts: &'h [String],
    /// Relations that it names in a text.
    pub(crate) named: &'h [RelationName],
}

/// The shape of one statement. `marks` are filled on the way, and gone if they are not complete.
pub(crate) fn of(
    facts: &SqlFacts,
    root: Node<'_>,
    hidden: Hidden<'_>,
    (context, shared): (&Context<'_>, &SharedPaths),
    (left, marks): (&Cell<usize>, &mut Option<Marks<'_>>),
) -> Fact<Shape> {
    let built = build(root, (*context, shared), left, marks).and_then(|mut shape| {
        let elsewhere = Context { search_paths: SearchPaths::Unknown, ..*context };
        for text in hidden.texts {
            let tree = parse::parse(text).map_err(|_message| Unknown::ParseError)?;
            for raw in tree.statements() {
                shape.absorb(&build(raw.stmt(), (elsewhere, shared), left, &mut None)?);
            }
        }
        Ok(shape)
    });
    let relations = facts.relations.known().map_or(&[][..], Vec::as_slice);
    let mut shape = match built {
        Ok(shape) => shape,
        Err(why) => return Fact::Unknown(why),
    };
    shape.references.extend(hidden.named.iter().map(|relation| reference(relation.clone())));
    // TRUNCATE, LOCK and their like: all of it, by no query.
    let mut queried: Vec<&RelationName> =
        shape.references.iter().map(|one| &one.relation).collect();
    queried.sort_unstable();
    let is_queried = |relation: &RelationName| queried.binary_search(&relation).is_ok();
    let others: Vec<Reference> = relations
        .iter()
        .filter(|used| used.access != Access::Define && !is_queried(&used.relation))
        .map(|used| Reference { access: used.access, ..reference(used.relation.clone()) })
        .collect();
    shape.references.extend(others);
    shape.no_where |= shape.references.iter().any(|one| one.without_where);
    Fact::Known(shape)
}

/// What a statement shares with its submission.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Submission {
    statements: usize,
    commented: bool,
    signed: bool,
}

impl Submission {
    /// Of a text with so many statements.
    pub(crate) fn of(text: &str, statements: usize) -> Self {
        let (commented, signed) = (scanner::has_comment(text), scanner::has_many_signs(text));
        Self { statements, commented, signed }
    }

    /// Adds it to a statement's shape.
    pub(crate) fn add_to(self, shape: &mut Fact<Shape>) {
        let Fact::Known(shape) = shape else { return };
        if self.statements > 1 {
            shape.statements = u32::try_from(self.statements).unwrap_or(u32::MAX);
        }
        shape.comment |= self.commented;
        if self.signed && !shape.heavy.contains(&Heavy::DeepNesting) {
            shape.heavy.push(Heavy::DeepNesting);
            shape.heavy.sort_unstable();
        }
    }
}

fn build<'a>(
    root: Node<'a>,
    (context, shared): (Context<'_>, &SharedPaths),
    left: &Cell<usize>,
    marks: &mut Option<Marks<'_>>,
) -> Shaped<Shape> {
    // They count if the walk comes to its end.
    let mut looked = marks.take();
    let mut shaper = Shaper::<'a, '_> {
        context,
        shared,
        left,
        shape: Shape::default(),
        columns: Columns::default(),
        ctes: Vec::new(),
        depth: 0,
        stack: Vec::with_capacity(ROOM),
    };
    shaper.statement(root)?;
    let mut shape = shaper.shape;
    let seen = heavy::add(&mut shape, root, left, looked.as_mut())?;
    *marks = looked;
    shape.columns = shaper.columns.sorted();
    let mut names: Vec<&str> = shape.columns.iter().map(|column| column.name.as_str()).collect();
    names.dedup();
    shape.names = names.into_iter().map(str::to_owned).collect();
    if !shape.parameters().is_empty() {
        // At the cost of one more walk.
        let rest = left.get().checked_sub(seen.nodes);
        left.set(rest.unwrap_or_default());
        shape.repeated = rest.map(|_| repeated(seen.parameters)).ok_or(Unknown::TooComplex)?;
    }
    Ok(shape)
}

/// Parameters that stand at several of these places. Sorted, unique.
fn repeated(mut seen: Vec<u32>) -> Vec<u32> {
    seen.sort_unstable();
    let parts = seen.chunk_by(|one, other| one == other);
    parts.filter(|part| part.len() > 1).filter_map(|part| part.first().copied()).collect()
}

/// A use of a relation of which nothing more is known.
const fn reference(relation: RelationName) -> Reference {
    Reference {
        relation,
        access: Access::Read,
        rows: Rows::Present,
        without_where: false,
        all_columns: false,
        assigned: Vec::new(),
    }
}

impl<'a> Shaper<'a, '_> {
    /// Takes one step from what the submission may still take.
    fn spend(&self) -> Shaped<()> {
        self.spend_many(1)
    }

    /// Takes so many.
    fn spend_many(&self, steps: usize) -> Shaped<()> {
        let left = self.left.get().checked_sub(steps).ok_or(Unknown::TooComplex)?;
        self.left.set(left);
        Ok(())
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Shaped<T>) -> Shaped<T> {
        if self.depth >= limits::MAX_QUERY_DEPTH {
            return Err(Unknown::TooComplex);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// A statement: its queries, wherever they stand in it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "other nodes only hold queries")]
    fn statement(&mut self, root: Node<'a>) -> Shaped<()> {
        let mut stack = Vec::new();
        let mut next = Some(root);
        while let Some(node) = next {
            self.spend()?;
            match node {
                Node::SelectStmt(select) => {
                    self.shape.limit = self.shape.limit.max(expression::limit(select));
                    self.query(node, None, 0, Yield::Ignored)?;
                }
                Node::InsertStmt(_)
                | Node::UpdateStmt(_)
                | Node::DeleteStmt(_)
                | Node::MergeStmt(_) => {
                    self.query(node, None, 0, Yield::Ignored)?;
                }
                Node::CopyStmt(copy) => {
                    self.copy(copy)?;
                    each_child(node, &mut |child| stack.push(child));
                }
                other => each_child(other, &mut |child| stack.push(child)),
            }
            next = stack.pop();
        }
        Ok(())
    }

    /// COPY of a relation reads or writes all of it.
    fn copy(&mut self, copy: &'a nodes::CopyStmt) -> Shaped<()> {
        let Some(var) = copy.relation() else { return Ok(()) };
        let index = self.refer(var, if copy.is_from { Access::Write } else { Access::Read })?;
        if copy.is_from {
            return Ok(());
        }
        let whole = copy.attlist().is_empty();
        self.shape.star |= whole;
        if let Some(one) = self.at(index) {
            one.without_where = true;
            one.all_columns = whole;
        }
        for name in copy.attlist().iter().filter_map(Node::as_str) {
            self.columns.insert(name, &[index]);
        }
        Ok(())
    }

    /// A new reference.
    fn refer(&mut self, var: &'a nodes::RangeVar, access: Access) -> Shaped<u32> {
        self.spend()?;
        let relation = resolve::relation(statements::written(var), &self.context, self.shared);
        let index =
            u32::try_from(self.shape.references.len()).map_err(|_too_many| Unknown::TooComplex)?;
        if self.shape.references.len() >= limits::MAX_REFERENCES {
            return Err(Unknown::TooComplex);
        }
        self.shape.references.push(Reference { access, ..reference(relation) });
        Ok(index)
    }

    fn at(&mut self, index: u32) -> Option<&mut Reference> {
        usize::try_from(index).ok().and_then(|index| self.shape.references.get_mut(index))
    }

    fn few_equalities(&self) -> Shaped<()> {
        if self.shape.equalities.len() > limits::MAX_EQUALITIES {
            return Err(Unknown::TooComplex);
        }
        Ok(())
    }

    fn assign(&mut self, index: u32, column: &str, to: Option<Operand>) -> Shaped<()> {
        self.spend()?;
        if let Some(one) = self.at(index) {
            one.assigned.push((column.to_owned(), to));
        }
        Ok(())
    }
}
