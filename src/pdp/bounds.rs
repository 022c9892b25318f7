//! How complex a rule may be. Cedar's parser and evaluator descend one stack frame a level: a rule nested
//! deeply enough would end the process, and one that chains long enough would be denied at every call.

#[cfg(test)]
mod tests;

use super::problem::Finding;
use super::scan::{Token, Tokens};

/// Brackets within brackets.
const DEEPEST: usize = 32;

/// Operators and keywords that make an expression deeper.
const MOST_OPERATORS: usize = 200;

/// Attribute look-ups and method calls.
const MOST_DOTS: usize = 300;

/// What to say of a statement that is too complex, before Cedar sees it.
pub(super) fn exceeded(statement: &str) -> Option<Finding> {
    let (mut depth, mut operators, mut dots) = (0usize, 0, 0);
    let mut before = None;
    for (token, span) in Tokens::of(statement) {
        match token {
            Token::Punct('(' | '[' | '{') => depth += 1,
            Token::Punct(')' | ']' | '}') => depth = depth.saturating_sub(1),
            Token::Punct('.') => dots += 1,
            // Both halves of `&&` and `||` are tokens of their own.
            Token::Punct('&' | '|') if before == Some(token) => {}
            Token::Punct('!' | '&' | '*' | '+' | '-' | '|')
            | Token::Ident("if" | "unless" | "when") => operators += 1,
            Token::Ident(_) | Token::Path | Token::Punct(_) | Token::Str(_) => {}
        }
        before = Some(token);
        let what = if depth > DEEPEST {
            format!("this is nested more than {DEEPEST} brackets deep")
        } else if operators > MOST_OPERATORS {
            format!("a rule has at most {MOST_OPERATORS} operators")
        } else if dots > MOST_DOTS {
            format!("a rule looks up at most {MOST_DOTS} attributes")
        } else {
            continue;
        };
        let hint = "split the rule, or compare with a set: `[…].contains(…)`";
        return Some(Finding::error(span, what, Some(hint.to_owned())));
    }
    None
}
