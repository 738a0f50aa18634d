//! What the session tells analysis: how the server would read this text.

use crate::catalog::Catalog;
use crate::timeline::Timeline;

/// The `search_path` values that may be in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchPaths<'a> {
    /// One of these; each is a list of schemas in order, `"$user"` expanded.
    Possible(&'a [Vec<String>]),
    /// Not tracked.
    Unknown,
}

/// How the server decodes the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `client_encoding` is UTF8.
    Utf8,
    /// A single-byte encoding: only ASCII text reads the same there and here.
    AsciiOnly,
    /// Not known: only ASCII text is analysed.
    Unknown,
}

/// What a name without a schema may stand for, where nobody asked a catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BareNames {
    /// Whatever the schemas of the search path may hold.
    #[default]
    Any,
    /// The policy says that these hold nothing by PostgreSQL's own names, and no cast, operator or
    /// computed column that a statement could reach without calling it by name.
    BuiltIn,
    /// Definitions have been made: anything at all, of a type, too.
    Redefined,
}

/// What is known of the database's catalog.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// Nobody asked, and nobody wants to know what names mean.
    Nothing,
    /// Nobody asked: what every PostgreSQL of the server's version has is all that is known.
    BuiltIn(BareNames),
    /// It was asked for, and what there is cannot be relied on.
    Stale,
    /// This exists, for everybody.
    Catalog(&'a Catalog),
}

/// What the session tells analysis. Cheap to build per call.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Where unqualified names are looked up.
    pub search_paths: SearchPaths<'a>,
    /// How the server decodes the text.
    pub encoding: Encoding,
    /// Whether a backslash in `'…'` is an ordinary character.
    pub standard_conforming_strings: bool,
    /// What exists in the database.
    pub catalog: Known<'a>,
    /// Whose rights decide which schemas of a path count; `None` if that is not known.
    pub role: Option<&'a str>,
    /// What the session has of its own; `None` for a new one.
    pub timeline: Option<&'a Timeline>,
    /// The column that says whose a row is, if the policy isolates tenants.
    pub tenant_column: Option<&'a str>,
    /// The server's major version, if it told.
    pub server_major: Option<u16>,
}
