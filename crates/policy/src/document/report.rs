//! Collects everything that is wrong, and finds the word that was probably meant.

use super::tree::Position;
use crate::limits::{MAX_DIAGNOSTICS, MAX_SUGGESTED, MAX_WORD};
use crate::{Diagnostic, Diagnostics, Severity};

/// The findings about one document.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    file: &'a str,
    found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    pub(crate) const fn new(file: &'a str) -> Self {
        Self { file, found: Vec::new() }
    }

    pub(crate) fn error(&mut self, at: Position, message: String, help: Option<String>) {
        self.add(Severity::Error, at, message, help);
    }

    pub(crate) fn warning(&mut self, at: Position, message: String, help: Option<String>) {
        self.add(Severity::Warning, at, message, help);
    }

    /// An error about a word that is none of `known`, with the nearest one that is.
    pub(crate) fn unknown(&mut self, at: Position, message: String, word: &str, known: &[&str]) {
        if self.is_full(Severity::Error) {
            return;
        }
        let near = nearest(word, known).map(|near| format!("did you mean `{near}`?"));
        let all = || (known.len() <= MAX_SUGGESTED).then(|| format!("known: {}", known.join(", ")));
        self.error(at, message, near.or_else(all));
    }

    /// Takes over what was found in another file, which this one names.
    pub(crate) fn absorb(&mut self, other: Report<'_>) {
        self.found.extend(other.found);
    }

    fn add(&mut self, severity: Severity, at: Position, message: String, help: Option<String>) {
        if self.is_full(severity) {
            return;
        }
        let Position { line, column } = at;
        let file = self.file.to_owned();
        self.found.push(Diagnostic { severity, file, line, column, message, help });
    }

    /// Whether no more findings of that kind are kept: one hopeless document costs no more than
    /// [`MAX_DIAGNOSTICS`] searches for the nearest word.
    fn is_full(&self, severity: Severity) -> bool {
        self.found.iter().filter(|one| one.severity == severity).count() >= MAX_DIAGNOSTICS
    }

    /// Whether the document is not a policy.
    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|one| one.severity == Severity::Error)
    }

    /// Everything that was found, in document order.
    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        Diagnostics(self.found).settle()
    }
}

/// The known word that is nearest to `word`, if one is near enough to be meant.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let letters: Vec<char> = word.to_lowercase().chars().collect();
    if letters.len() > MAX_WORD {
        return None;
    }
    let reach = (letters.len() / 3).max(1);
    known
        .iter()
        .map(|candidate| (distance(&letters, candidate), *candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) between `a` and `b`, without regard to case.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut left: Option<char> = None;
    for (row, &x) in a.iter().enumerate() {
        let mut line = vec![row.saturating_add(1)];
        let mut above_left: Option<char> = None;
        for (column, &y) in b.iter().enumerate() {
            let get = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX / 2);
            let replace = get(&last, column).saturating_add(usize::from(x != y));
            let insert = get(&line, column).saturating_add(1);
            let delete = get(&last, column.saturating_add(1)).saturating_add(1);
            let swapped = left == Some(y) && above_left == Some(x);
            let swap = match (swapped, column.checked_sub(1)) {
                (true, Some(column)) => get(&before, column).saturating_add(1),
                (true, None) | (false, _) => usize::MAX / 2,
            };
            line.push(replace.min(insert).min(delete).min(swap));
            above_left = Some(y);
        }
        left = Some(x);
        before = std::mem::replace(&mut last, line);
    }
    last.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["blocked_tables", "blocked_operations", "missions"];
        assert_eq!(nearest("blocked_table", &known), Some("blocked_tables"));
        assert_eq!(nearest("Blokced_operations", &known), Some("blocked_operations"));
        assert_eq!(nearest("mission", &known), Some("missions"));
        assert_eq!(nearest("frobnicate", &known), None);
        assert_eq!(nearest(&"x".repeat(1000), &known), None);
    }

    #[test]
    fn distance_counts_edits() {
        let of = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), b);
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("abc", ""), 3);
        assert_eq!(of("abcd", "abdc"), 1);
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("drop", "DROP"), 0);
    }
}
