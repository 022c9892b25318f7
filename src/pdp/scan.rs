//! A lexer of Cedar's tokens: where statements end, where entities are named, what is read.
//!
//! Cedar's own parser gives no positions for entities and takes superlinear time for long texts, so
//! a file is cut into statements here and each is parsed by itself. The tokens are those of Cedar's
//! grammar: identifiers, strings in double quotes, `//` comments, the rest is punctuation.

#[cfg(test)]
mod tests;

use std::ops::Range;

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An identifier or a keyword.
    Ident(&'a str),
    /// `::`
    Path,
    /// Any other character.
    Punct(char),
    /// A string, quotes included.
    Str(&'a str),
}

/// The tokens of a text with the bytes that they stand in.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            let rest = self.rest();
            let bare = rest.trim_start();
            self.at += rest.len() - bare.len();
            if !bare.starts_with("//") {
                return;
            }
            self.at += bare.find(['\n', '\r']).unwrap_or(bare.len());
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (Token<'a>, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blanks_and_comments();
        let rest = self.rest();
        let first = rest.chars().next()?;
        let length = match first {
            'a'..='z' | 'A'..='Z' | '_' => rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(rest.len()),
            '"' => string_length(rest),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        let span = self.at..self.at + length;
        self.at = span.end;
        let text = self.text.get(span.clone())?;
        let token = match first {
            'a'..='z' | 'A'..='Z' | '_' => Token::Ident(text),
            '"' => Token::Str(text),
            ':' if text == "::" => Token::Path,
            _ => Token::Punct(first),
        };
        Some((token, span))
    }
}

/// The length of the string that a text starts with; one that nothing closes goes to the end.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The statements of a file. What follows the last `;` is one too, unless it is only comments.
pub(super) fn statements(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<Range<usize>> = None;
    for (token, span) in Tokens::of(text) {
        let start = open.take().map_or(span.start, |before| before.start);
        let so_far = start..span.end;
        if token == Token::Punct(';') {
            found.push(so_far);
        } else {
            open = Some(so_far);
        }
    }
    found.extend(open);
    found
}

/// The entities that a statement names, as `Type::"id"` with the id as it is written.
pub(super) fn entities(statement: &str) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    let mut path = String::new();
    let mut start = 0;
    for (token, span) in Tokens::of(statement) {
        match token {
            Token::Ident(name) => {
                if !path.ends_with("::") {
                    path.clear();
                    start = span.start;
                }
                path.push_str(name);
            }
            Token::Path if !path.is_empty() => path.push_str("::"),
            Token::Str(id) if path.ends_with("::") => {
                path.push_str(id);
                found.push((std::mem::take(&mut path), start..span.end));
            }
            Token::Path | Token::Punct(_) | Token::Str(_) => path.clear(),
        }
    }
    found
}

/// The annotations of a statement: each name with the bytes from its `@` to its `)`.
pub(super) fn annotations(statement: &str) -> Vec<(&str, Range<usize>)> {
    let mut found: Vec<(&str, Range<usize>)> = Vec::new();
    let mut at = None;
    for (token, span) in Tokens::of(statement) {
        match token {
            Token::Punct('@') => at = Some(span.start),
            Token::Ident("permit" | "forbid") if at.is_none() => break,
            Token::Ident(name) => {
                if let Some(start) = at.take() {
                    found.push((name, start..span.end));
                }
            }
            Token::Punct(')') => {
                if let Some((_, last)) = found.last_mut() {
                    last.end = span.end;
                }
            }
            Token::Path | Token::Punct(_) | Token::Str(_) => {}
        }
    }
    found
}
