//! "Did you mean": the nearest of a few known names.

/// The candidate nearest to `word`, if it is near enough to be meant.
pub(crate) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = word.chars().count().div_ceil(3).min(4);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for ((b, diagonal), above) in right.iter().zip(&previous).zip(previous.iter().skip(1)) {
            let before = current.last().copied().unwrap_or(0);
            current.push((diagonal + usize::from(a != *b)).min(above + 1).min(before + 1));
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(closest("lisen", ["listen", "upstream"]), Some("listen"));
        assert_eq!(closest("colour", ["listen", "upstream"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
