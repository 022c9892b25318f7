//! "Did you mean …?"

#[cfg(test)]
mod tests;

/// The candidate that `word` was probably meant to be.
pub(super) fn closest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
    let bound = (wanted.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * bound)
        .map(|candidate| {
            let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
            (distance(&wanted, &letters), candidate)
        })
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?` as a hint.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    closest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Letters to add, drop, change or swap with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous_letter = None;
    for (row, &x) in a.iter().enumerate() {
        let mut next = Vec::with_capacity(last.len());
        next.push(row + 1);
        let mut left = None;
        for (column, &y) in b.iter().enumerate() {
            let at =
                |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&last, column) + usize::from(x != y);
            let mut best = changed
                .min(at(&last, column + 1) + 1)
                .min(at(&next, column) + 1);
            if left == Some(x) && previous_letter == Some(y) && column > 0 {
                best = best.min(at(&before, column - 1) + 1);
            }
            next.push(best);
            left = Some(y);
        }
        before = last;
        last = next;
        previous_letter = Some(x);
    }
    last.last().copied().unwrap_or(0)
}
