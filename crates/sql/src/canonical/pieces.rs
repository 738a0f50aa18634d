//! A text in the making: pieces with a blank between them, of which the last can be taken back.

use std::ops::Range;

/// Pieces of a text.
#[derive(Debug)]
pub(super) struct Pieces {
    text: String,
    /// Where each begins.
    starts: Vec<usize>,
}

impl Pieces {
    /// None yet, of a text of so many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        let more = bytes.saturating_add(bytes / 4);
        Self { text: String::with_capacity(more), starts: Vec::with_capacity(bytes / 4) }
    }

    pub(super) const fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn push(&mut self, piece: &str) {
        if !self.starts.is_empty() {
            self.text.push(' ');
        }
        self.starts.push(self.text.len());
        self.text.push_str(piece);
    }

    pub(super) fn get(&self, at: usize) -> Option<&str> {
        let start = *self.starts.get(at)?;
        match self.starts.get(at.checked_add(1)?) {
            Some(next) => self.text.get(start..next.checked_sub(1)?),
            None => self.text.get(start..),
        }
    }

    pub(super) fn last(&self) -> Option<&str> {
        self.text.get(*self.starts.last()?..)
    }

    /// The last one goes on.
    pub(super) fn grow_last(&mut self, more: &str) {
        self.text.push_str(more);
    }

    /// The last one in lower case.
    pub(super) fn lower_last(&mut self) {
        if let Some(last) = self.starts.last().and_then(|start| self.text.get_mut(*start..)) {
            last.make_ascii_lowercase();
        }
    }

    /// Only the first `count` stay.
    pub(super) fn truncate(&mut self, count: usize) {
        if let Some(start) = self.starts.get(count) {
            // The blank before it goes, too.
            self.text.truncate(start.saturating_sub(1));
            self.starts.truncate(count);
        }
    }

    /// Whether two rows of pieces are the same.
    pub(super) fn are_same(&self, one: &Range<usize>, other: &Range<usize>) -> bool {
        let known = |row: &Range<usize>| row.end <= self.len();
        known(one)
            && known(other)
            && one.len() == other.len()
            && one.clone().zip(other.clone()).all(|(one, other)| self.get(one) == self.get(other))
    }

    /// All of them.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_what_was_pushed() {
        let mut pieces = Pieces::with_room(0);
        assert_eq!((pieces.last(), pieces.get(0)), (None, None));
        for piece in ["A", "", "b c", ","] {
            pieces.push(piece);
        }
        assert_eq!(
            (pieces.get(1), pieces.get(2), pieces.last()),
            (Some(""), Some("b c"), Some(","))
        );
        pieces.truncate(3);
        pieces.grow_last("D");
        pieces.lower_last();
        pieces.push("A");
        assert!(pieces.are_same(&(0..1), &(3..4)));
        assert!(!pieces.are_same(&(0..1), &(2..3)) && !pieces.are_same(&(0..1), &(0..2)));
        assert!(!pieces.are_same(&(3..5), &(3..5)), "there are but four");
        assert_eq!(pieces.into_text(), "A  b cd A");
        let mut pieces = Pieces::with_room(8);
        pieces.push("x");
        pieces.truncate(0);
        pieces.push("y");
        assert_eq!(pieces.into_text(), "y");
    }
}
