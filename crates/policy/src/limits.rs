//! Every bound of this crate, named.

/// Largest policy document.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// Deepest nesting of a policy document; the schema itself needs six levels.
pub const MAX_DOCUMENT_DEPTH: usize = 32;
/// Most nodes (scalars, lists, mappings) of a policy document.
pub const MAX_DOCUMENT_NODES: usize = 200_000;
/// Most diagnostics that are kept for one document.
pub const MAX_DIAGNOSTICS: usize = 200;
/// Longest chain of `extends`.
pub const MAX_PROFILE_DEPTH: usize = 16;
/// Most reasons that one decision carries.
pub const MAX_REASONS: usize = 32;
/// Longest name that a reason shows, in characters.
pub const MAX_SHOWN_NAME: usize = 128;
/// Most names that a suggestion lists.
pub const MAX_SUGGESTED: usize = 12;
/// Longest word that is compared with the known ones to find the nearest.
pub const MAX_WORD: usize = 64;
