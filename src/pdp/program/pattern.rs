//! Cedar's `like`: texts with `*` for any number of characters.

/// A pattern, cut at its stars.
#[derive(Clone, Debug)]
pub(in crate::pdp) struct Pattern {
    /// What stands before the first star, between stars, and after the last; one piece if there is none.
    pieces: Box<[Box<str>]>,
}

impl Pattern {
    /// A pattern of characters; none is a star.
    pub(in crate::pdp) fn new(elements: impl Iterator<Item = Option<char>>) -> Self {
        let mut pieces = vec![String::new()];
        for element in elements {
            match (element, pieces.last_mut()) {
                (Some(character), Some(piece)) => piece.push(character),
                _ => pieces.push(String::new()),
            }
        }
        let pieces = pieces.into_iter().map(String::into_boxed_str).collect();
        Self { pieces }
    }

    pub(in crate::pdp) fn matches(&self, text: &str) -> bool {
        let (first, rest) = match &*self.pieces {
            [] => return text.is_empty(),
            [whole] => return text == &**whole,
            [first, rest @ ..] => (first, rest),
        };
        let Some((last, middle)) = rest.split_last() else {
            return false;
        };
        let Some(mut text) = text.strip_prefix(&**first) else {
            return false;
        };
        // The leftmost place for each piece leaves the most to those after it.
        for piece in middle {
            match text.find(&**piece) {
                Some(place) => text = text.get(place + piece.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        text.ends_with(&**last)
    }
}
