//! Portcullis, a just-in-time access gateway for AI agents.

pub mod access;
pub mod admin;
pub mod app;
pub mod audit;
pub mod authn;
pub mod base;
pub mod cli;
pub mod config;
pub mod grants;
pub mod model;
pub mod oauth;
pub mod pdp;
pub mod pep;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod tokens;
pub mod upstream;
pub mod wire;
