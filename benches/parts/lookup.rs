//! What a known token costs among ten thousand, alone and with the decision that follows.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use portcullis::base::Secret;
use portcullis::pdp::Kept;
use portcullis::pdp::Memory;
use portcullis::pep::{Nearby, OfToken, Remembered};
use tempfile::TempDir;

use crate::cold_token::{authority, token};
use crate::decide::{ask, compile, house, sources};
use crate::processor::Processor;

const TOKENS: usize = 10_000;

/// What is known of a token.
struct Known(Arc<str>);

impl OfToken for Known {
    fn token(&self) -> &str {
        &self.0
    }
}

pub(crate) fn lookup(criterion: &mut Criterion<Processor>) {
    let directory = TempDir::new().unwrap();
    let first = token(&authority(&directory));
    let (rest, signature) = first.rsplit_once('.').unwrap();
    // As long as tokens are, and as alike: they differ near their end.
    let tokens: Vec<_> = (0..TOKENS)
        .map(|number| format!("{rest}.{number:08}{}", signature.split_at(8).1))
        .collect();
    let shown: Vec<_> = tokens.iter().cloned().map(Secret::new).collect();
    let remembered = Remembered::new();
    for token in &tokens {
        let (token, life): (Arc<str>, _) = (token.as_str().into(), Duration::from_mins(5));
        remembered.insert(Arc::clone(&token), Arc::new(Known(token)), life);
    }
    let house = house();
    let policies = compile(&house, &sources(10), &mut Memory::default());
    // In no order that a cache would like.
    let next = Cell::new(0);
    // As a worker does: in its own table first.
    let nearby = Nearby::new();
    let look_up = || {
        next.set((next.get() + 7919) % TOKENS);
        let shown = black_box(shown.get(next.get()).unwrap());
        nearby.get(shown).unwrap_or_else(|| {
            let token = tokens.get(next.get()).unwrap();
            let found = remembered.get(token).unwrap();
            nearby.put(Arc::clone(&found));
            found
        })
    };
    let kept = Kept::default();
    let mut group = criterion.benchmark_group("lookup");
    group.bench_function("token", |bencher| bencher.iter(look_up));
    ask(|question| {
        group.bench_function("token_and_decision", |bencher| {
            bencher.iter(|| (look_up(), policies.decide_kept(black_box(question), &kept)));
        });
    });
    group.finish();
}
