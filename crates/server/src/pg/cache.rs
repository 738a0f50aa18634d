//! Texts that a session has sent before, as they were taken apart.
//!
//! What is *not* here: analysis; decisions, which are kept beside the facts ([`Proved`]); what a statement
//! does to its session, which is followed each time. Invariants: what is found has the very same bytes, never
//! just their hash, and was found under the same reading: one step of [`Reading::epoch`] and nothing of before
//! is there any more; and a text is kept from the second time on. The hash has a secret key, so that nobody can make texts that share a place on purpose.
//!
//! [`Reading::epoch`]: super::reading::Reading::epoch

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use model::{Fact, SqlFacts};
use prometheus_client::metrics::counter::Counter;
use sql::Analysis;

use crate::limits::{MAX_SEEN, MAX_SEEN_BYTES, MAX_SEEN_TEXT_BYTES, MAX_SEEN_WEIGHT};
use crate::proved::Proved;

/// A text taken apart under one reading of its session.
#[derive(Debug)]
pub struct Sight {
    text: Arc<[u8]>,
    analysis: Analysis,
    /// Complete facts, unless a statement refers to names: those mean something else each time.
    proved: Option<Arc<Proved>>,
}

impl Sight {
    /// A text, and what analysis says of it.
    pub(crate) fn of(text: &[u8], analysis: Analysis) -> Self {
        let own = |one: &sql::Statement| one.own_facts().cloned();
        let complete: Option<Vec<_>> = analysis.statements().iter().map(own).collect();
        let proved = complete.map(|facts| Arc::new(Proved::several(facts)));
        Self { text: text.into(), analysis, proved }
    }

    /// The text.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// What analysis says of it.
    pub(crate) const fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// The facts of all its statements, if none of them refers to another name.
    pub const fn proved(&self) -> Option<&Arc<Proved>> {
        self.proved.as_ref()
    }

    /// The same, if it is one statement.
    pub(crate) fn single(&self) -> Option<&Arc<Proved>> {
        self.proved().filter(|_| self.analysis.statements().len() == 1)
    }

    /// About how many bytes it takes; `None` if it holds on to more than its text and the catalog explain.
    fn weight(&self) -> Option<usize> {
        let mut all = size_of::<Self>() + self.text.len();
        for one in self.analysis.statements() {
            let form = one.canonical_form().map_or(0, str::len);
            let names: usize = one.references().iter().map(|name| 64 + name.name.len()).sum();
            all += form + names + weight(one.facts(&|_, _| None).as_ref());
            for effect in one.effects() {
                all += size_of_val(effect) + held_by(effect)?;
            }
        }
        Some(all)
    }
}

/// About how many bytes an effect holds on to; `None` for a whole state of the session's own relations, which
/// is another one once the statement has run.
fn held_by(effect: &sql::Effect) -> Option<usize> {
    match effect {
        sql::Effect::Prepare { name, facts } | sql::Effect::Declare { name, facts, .. } => {
            Some(name.len() + weight(facts))
        }
        sql::Effect::Deallocate { name } | sql::Effect::Close { name } => {
            Some(name.as_ref().map_or(0, String::len))
        }
        sql::Effect::SearchPath(sql::NewSearchPath::Schemas(schemas)) => {
            Some(schemas.iter().map(|schema| 32 + schema.len()).sum())
        }
        sql::Effect::SearchPath(sql::NewSearchPath::Reset | sql::NewSearchPath::Unknown)
        | sql::Effect::Discard(_)
        | sql::Effect::Copy => Some(0),
        sql::Effect::Own(step) => match step {
            sql::Step::Made { .. } => None,
            sql::Step::Savepoint(name) | sql::Step::Release(name) | sql::Step::RollbackTo(name) => {
                Some(name.len())
            }
            sql::Step::Anything
            | sql::Step::Commit
            | sql::Step::Rollback
            | sql::Step::DiscardTemporary
            | sql::Step::DiscardAll => Some(0),
        },
    }
}

/// About how many bytes facts take: their lists by what an element usually has.
fn weight(facts: &SqlFacts) -> usize {
    fn many<T>(list: &Fact<Vec<T>>, each: usize) -> usize {
        list.known().map_or(0, Vec::len) * (size_of::<T>() + each)
    }
    let shape = facts.shape.known().map_or(0, |shape| {
        48 * (shape.names.len() + shape.shown.len())
            + 192 * shape.references.len()
            + 128 * (shape.equalities.len() + shape.columns.len())
    });
    size_of::<SqlFacts>()
        + shape
        + many(&facts.operations, 0)
        + many(&facts.relations, 96)
        + many(&facts.functions, 48)
        + many(&facts.settings, 96)
        + many(&facts.unfiltered, 32)
        + many(&facts.server_access, 0)
        + many(&facts.columns, 64)
        + many(&facts.calls, 48)
        + many(&facts.tenants, 128)
        + facts.digest.as_ref().map_or(0, String::len)
}

#[derive(Debug)]
struct Slot {
    sight: Arc<Sight>,
    weight: usize,
    /// It was asked for since the hand last passed.
    used: bool,
}

/// The texts of one session, bounded in number and bytes. What was not asked for since the hand last came
/// by makes room first (the clock algorithm, about "least recently used").
#[derive(Debug, Default)]
pub struct Cache<S = RandomState> {
    places: HashMap<Arc<[u8]>, usize, S>,
    slots: Vec<Slot>,
    hand: usize,
    bytes: usize,
    /// Of the reading under which everything here was found.
    epoch: u64,
    /// Marks of texts that came once; empty until there is one. By its hash, each has one place.
    once: Vec<u32>,
    hits: Counter,
    misses: Counter,
}

impl Cache {
    /// An empty one that counts here what it has and what it has not.
    pub(crate) fn counted(hits: &Counter, misses: &Counter) -> Self {
        Self { hits: hits.clone(), misses: misses.clone(), ..Self::default() }
    }
}

impl<S: BuildHasher> Cache<S> {
    /// The text taken apart under the reading of this epoch: as it was, or by `analyse`.
    pub fn sight(
        &mut self,
        text: &[u8],
        epoch: u64,
        analyse: impl FnOnce(&[u8]) -> Analysis,
    ) -> Arc<Sight> {
        if self.epoch != epoch {
            self.forget();
            self.epoch = epoch;
        }
        if let Some(sight) = self.find(text) {
            self.hits.inc();
            return sight;
        }
        self.misses.inc();
        let sight = Arc::new(Sight::of(text, analyse(text)));
        if self.came_before(text) {
            self.keep(&sight);
        }
        sight
    }

    /// Whether the text came before, under whatever reading; a guess that decides about memory alone. Texts with values
    /// of their own come once, and are not worth their room.
    fn came_before(&mut self, text: &[u8]) -> bool {
        if self.once.is_empty() {
            self.once.resize(MAX_SEEN, 0);
        }
        let hash = self.places.hasher().hash_one(text);
        // Never 0, which marks nothing.
        let mark = (hash >> 32) as u32 | 1;
        let place = usize::try_from(hash & 0xffff).unwrap_or_default() % MAX_SEEN;
        self.once.get_mut(place).is_some_and(|known| std::mem::replace(known, mark) == mark)
    }

    fn find(&mut self, text: &[u8]) -> Option<Arc<Sight>> {
        let slot = self.slots.get_mut(*self.places.get(text)?)?;
        slot.used = true;
        // The map has compared every byte; whatever is wrong with it must not make one text another.
        (*slot.sight.text == *text).then(|| Arc::clone(&slot.sight))
    }

    fn keep(&mut self, sight: &Arc<Sight>) {
        if sight.text.len() > MAX_SEEN_TEXT_BYTES {
            return;
        }
        let Some(weight) = sight.weight().filter(|weight| *weight <= MAX_SEEN_WEIGHT) else {
            return;
        };
        while self.slots.len() >= MAX_SEEN || self.bytes + weight > MAX_SEEN_BYTES {
            if !self.evict() {
                return;
            }
        }
        self.bytes += weight;
        self.places.insert(Arc::clone(&sight.text), self.slots.len());
        self.slots.push(Slot { sight: Arc::clone(sight), weight, used: false });
    }

    /// Makes room for one more, if there is anything.
    fn evict(&mut self) -> bool {
        // In the second round nothing counts as used any more.
        for _ in 0..=2 * self.slots.len() {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            match self.slots.get_mut(self.hand) {
                Some(slot) if slot.used => slot.used = false,
                Some(_) => {
                    self.remove(self.hand);
                    return true;
                }
                None => return false,
            }
            self.hand += 1;
        }
        false
    }

    /// The last slot takes the place of the one that goes.
    fn remove(&mut self, place: usize) {
        let gone = self.slots.swap_remove(place);
        self.bytes -= gone.weight;
        self.places.remove(&gone.sight.text);
        if let Some(moved) = self.slots.get(place) {
            self.places.insert(Arc::clone(&moved.sight.text), place);
        }
    }

    fn forget(&mut self) {
        self.places.clear();
        self.slots.clear();
        self.hand = 0;
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, Hasher};

    use model::Unknown;
    use sql::catalog::{Catalog, FORMAT, Snapshot};
    use sql::{Context, Encoding, Known, SearchPaths};

    use super::*;

    /// Gives every text the same hash.
    #[derive(Default)]
    struct Collider;

    impl Hasher for Collider {
        fn finish(&self) -> u64 {
            7
        }

        fn write(&mut self, _bytes: &[u8]) {}
    }

    type Colliding = Cache<BuildHasherDefault<Collider>>;

    fn analyse(text: &[u8]) -> Analysis {
        analyse_in(text, Known::Nothing)
    }

    fn analyse_in(text: &[u8], catalog: Known<'_>) -> Analysis {
        let paths = [vec!["public".to_owned()]];
        let context = Context {
            search_paths: SearchPaths::Possible(&paths),
            encoding: Encoding::Utf8,
            standard_conforming_strings: true,
            catalog,
            role: None,
            timeline: None,
            tenant_column: None,
            server_major: Some(15),
        };
        sql::analyze(text, &context)
    }

    /// Whether the cache had it.
    fn has<S: BuildHasher>(cache: &mut Cache<S>, text: &str, epoch: u64) -> bool {
        let mut made = false;
        let sight = cache.sight(text.as_bytes(), epoch, |text| {
            made = true;
            analyse(text)
        });
        assert_eq!(sight.text(), text.as_bytes());
        !made
    }

    fn relation(sight: &Sight) -> String {
        let facts = sight.proved().unwrap().first();
        facts.relations.known().unwrap()[0].relation.name.to_string()
    }

    /// A text that came before.
    fn known<S: BuildHasher>(cache: &mut Cache<S>, text: &str, epoch: u64) {
        assert!(!has(cache, text, epoch), "{text}");
        assert!(!has(cache, text, epoch), "{text}");
    }

    fn sound<S: BuildHasher>(cache: &Cache<S>) {
        assert_eq!(cache.places.len(), cache.slots.len());
        assert_eq!(cache.bytes, cache.slots.iter().map(|slot| slot.weight).sum::<usize>());
        assert!(cache.slots.len() <= MAX_SEEN && cache.bytes <= MAX_SEEN_BYTES);
        for (place, slot) in cache.slots.iter().enumerate() {
            assert_eq!(cache.places.get(&slot.sight.text), Some(&place));
        }
    }

    #[test]
    fn the_same_text_is_taken_apart_twice_at_most() {
        let mut cache = Cache::<RandomState>::default();
        known(&mut cache, "SELECT 1", 0);
        assert!(has(&mut cache, "SELECT 1", 0));
        for other in ["SELECT 2", "select 1", "SELECT 1 ", "SELECT 1;", "SELECT", ""] {
            assert!(!has(&mut cache, other, 0), "{other}");
        }
        assert!(has(&mut cache, "SELECT 1", 0));
        assert_eq!((cache.hits.get(), cache.misses.get()), (2, 8));
        sound(&cache);
    }

    #[test]
    fn texts_that_come_once_take_no_room() {
        let mut cache = Cache::<RandomState>::default();
        for number in 0..1_000 {
            assert!(!has(&mut cache, &format!("SELECT {number}"), 0));
        }
        assert_eq!((cache.slots.len(), cache.once.len()), (0, MAX_SEEN));
    }

    #[test]
    fn another_epoch_ends_everything_of_before() {
        let mut cache = Cache::<RandomState>::default();
        known(&mut cache, "SELECT 1", 5);
        assert!(has(&mut cache, "SELECT 1", 5));
        assert!(!has(&mut cache, "SELECT 1", 6));
        assert!(has(&mut cache, "SELECT 1", 6));
        // Epochs do not come back; if one did, nothing would be there.
        assert!(!has(&mut cache, "SELECT 1", 5));
        assert_eq!(cache.slots.len(), 1);
        sound(&cache);
    }

    #[test]
    fn texts_that_share_a_hash_are_told_apart() {
        let mut cache = Colliding::default();
        let texts =
            ["SELECT a FROM t1", "SELECT a FROM t2", "SELECT a FROM t1 ", "SELECT b FROM t1"];
        for _ in 0..4 {
            for text in texts {
                let sight = cache.sight(text.as_bytes(), 0, analyse);
                assert_eq!(sight.text(), text.as_bytes());
                assert_eq!(relation(&sight), if text.contains("t2") { "t2" } else { "t1" });
            }
        }
        // Sharing one mark, they count as known from the first time on, but for the very first.
        assert_eq!((cache.hits.get(), cache.misses.get()), (11, 5));
        // Also while they push each other out.
        for number in 0..3 * MAX_SEEN {
            let text = format!("SELECT a FROM r{number}");
            let sight = cache.sight(text.as_bytes(), 0, analyse);
            assert_eq!(relation(&sight), format!("r{number}"));
            sound(&cache);
        }
    }

    #[test]
    fn hashes_cannot_be_foretold() {
        let (one, other) = (RandomState::new(), RandomState::new());
        assert_ne!(one.hash_one(&b"SELECT 1"[..]), other.hash_one(&b"SELECT 1"[..]));
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_goes() {
        let mut cache = Cache::<RandomState>::default();
        known(&mut cache, "SELECT 'often'", 0);
        for number in 0..10 * MAX_SEEN {
            known(&mut cache, &format!("SELECT {number}"), 0);
            assert!(has(&mut cache, "SELECT 'often'", 0), "{number}");
            sound(&cache);
        }
        assert!(!has(&mut cache, "SELECT 0", 0));
        let newest = format!("SELECT {}", 10 * MAX_SEEN - 1);
        assert!(has(&mut cache, &newest, 0));
    }

    #[test]
    fn bytes_are_bounded_as_well_as_texts() {
        let mut cache = Cache::<RandomState>::default();
        for number in 0..200 {
            let text = format!("SELECT '{}' -- {number}", "x".repeat(6_000));
            known(&mut cache, &text, 0);
            sound(&cache);
        }
        assert!(cache.slots.len() < MAX_SEEN, "{}", cache.slots.len());
        assert!(cache.slots.len() > 10, "{}", cache.slots.len());
    }

    #[test]
    fn what_is_big_is_judged_and_not_kept() {
        let mut cache = Cache::<RandomState>::default();
        let letters = 'a'..='z';
        let pairs = letters.clone().flat_map(|one| letters.clone().map(move |two| (one, two)));
        let columns: Vec<String> = pairs.map(|(one, two)| format!("{one}{two}_")).collect();
        let wide = |count: usize| format!("SELECT {} FROM t", columns[..count].join(","));
        let long = |length: usize| format!("SELECT '{}'", "x".repeat(length - 9));
        for (text, kept) in [
            (long(MAX_SEEN_TEXT_BYTES + 1), false),
            (long(MAX_SEEN_TEXT_BYTES), true),
            // Short, and full of facts.
            (wide(676), false),
            (wide(100), true),
        ] {
            known(&mut cache, &text, 0);
            assert_eq!(has(&mut cache, &text, 0), kept, "{}", text.len());
            sound(&cache);
        }
    }

    #[test]
    fn the_state_that_a_definition_makes_is_not_held() {
        let snapshot = Snapshot { format: FORMAT, ..Snapshot::default() };
        let catalog = Catalog::from_snapshot(snapshot).unwrap();
        let mut cache = Cache::<RandomState>::default();
        for (text, kept) in [
            ("CREATE TEMP TABLE t (a int)", 0),
            ("BEGIN; CREATE TEMP TABLE t (a int); COMMIT", 0),
            ("BEGIN; SAVEPOINT a; COMMIT", 1),
        ] {
            for _ in 0..2 {
                let analyse = |text: &[u8]| analyse_in(text, Known::Catalog(&catalog));
                cache.sight(text.as_bytes(), 0, analyse);
            }
            assert_eq!(cache.slots.len(), kept, "{text}");
        }
    }

    #[test]
    fn a_weight_is_more_than_what_can_be_written_down() {
        for text in [
            "SELECT 1",
            "SELECT abalance FROM pgbench_accounts WHERE aid = 7;",
            "SELECT a.b, c.d, lower(e) FROM a JOIN c USING (i) WHERE a.x = 'y' AND c.z = $1",
            "PREPARE p AS UPDATE t SET a = b + 1 WHERE c = 'd' RETURNING e, f, g",
            "SET search_path = a, b, c; SELECT 1; SELECT 2",
        ] {
            let sight = Sight::of(text.as_bytes(), analyse(text.as_bytes()));
            let written: usize = sight
                .analysis
                .statements()
                .iter()
                .map(|one| format!("{:?}", one.facts(&|_, _| None).relations).len())
                .sum();
            let weight = sight.weight().unwrap();
            assert!(weight > written + text.len() && weight < 8_000, "{text}: {weight}");
        }
    }

    #[test]
    fn what_refers_to_names_is_kept_without_facts() {
        let mut cache = Cache::<RandomState>::default();
        for text in ["EXECUTE p", "FETCH c", "SELECT 1; EXECUTE p"] {
            for _ in 0..2 {
                assert!(cache.sight(text.as_bytes(), 0, analyse).proved().is_none(), "{text}");
            }
            assert!(has(&mut cache, text, 0));
        }
        let sight = cache.sight(b"SELECT 1; SELECT 2", 0, analyse);
        assert!(sight.proved().is_some() && sight.single().is_none());
        let broken = cache.sight(b"SELEC", 0, analyse);
        let facts = broken.single().unwrap().first();
        assert_eq!(facts.operations, Fact::Unknown(Unknown::ParseError));
    }
}
