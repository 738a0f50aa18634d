//! SQL text to facts, with PostgreSQL's own grammar.
//!
//! What is here: [`analyze`], which turns any bytes into statements with their [`model::SqlFacts`],
//! and the readings of session text that belong to it (`options`, `search_path`). What is not:
//! policy, the wire, clocks, I/O.
//!
//! Invariants: `analysis_is_total` (any bytes give an analysis of at least one statement, and what
//! could not be established is unknown); `one_reader` (what is parsed is the text as given, never an
//! edited copy); the walk is iterative and bounded by [`limits`].

mod analysis;
pub mod builtin;
mod calls;
mod canonical;
pub mod catalog;
mod children;
mod context;
mod cover;
mod ddl;
mod few;
mod findings;
pub mod limits;
mod literal;
mod mistake;
mod names;
mod newer;
mod ops;
mod options;
mod parse;
mod parts;
mod predicate;
mod resolve;
mod resolved;
mod rewrite;
mod routine;
mod scanner;
mod scope;
mod seen;
mod settings;
mod shape;
mod shift;
mod spelling;
mod statements;
mod timeline;
mod value;
mod walk;

pub use analysis::{
    Analysis, Discarded, Effect, NameKind, NameRef, NewSearchPath, ParseFailure, Statement, analyze,
};
pub use context::{BareNames, Context, Encoding, Known, SearchPaths};
pub use options::{parse_search_path, split_options, startup_settings};
pub use rewrite::{Constraint, constrain};
pub use shift::Shift;
pub use timeline::{Extent, Ready, Step, Timeline};
