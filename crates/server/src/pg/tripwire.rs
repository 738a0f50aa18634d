//! Table OIDs in `RowDescription`: what the server is about to send comes from the relations that the
//! statement was judged by, or somebody has changed what its names mean.
//!
//! What it catches: a relation put in the place of another, between judgement and execution. What it
//! does not: expressions, which have no OID, and what a view reads. Invariant: only ever ends what was
//! allowed; where nothing is known it says nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use model::Fact;
use pgwire::table_oids;
use sql::catalog::Catalog;

use crate::proved::Proved;

/// Messages whose answer may describe rows.
#[derive(Debug, Default)]
pub(super) struct Tripwire {
    expected: VecDeque<Expected>,
}

#[derive(Debug)]
struct Expected {
    ticket: u64,
    proved: Arc<Proved>,
    catalog: Catalog,
}

impl Tripwire {
    /// A message is on its way that was judged by these facts and this catalog.
    pub(super) fn expect(&mut self, ticket: u64, proved: Arc<Proved>, catalog: Catalog) {
        self.expected.push_back(Expected { ticket, proved, catalog });
    }

    /// Nothing more comes of a message.
    pub(super) fn settled(&mut self, ticket: u64) {
        self.expected.retain(|expected| expected.ticket != ticket);
    }

    /// The first table that a description names and the facts do not.
    pub(super) fn stranger(&self, ticket: u64, body: &[u8]) -> Option<u32> {
        let expected = self.expected.iter().find(|expected| expected.ticket == ticket)?;
        table_oids(body).find(|oid| !expected.holds(*oid))
    }
}

impl Expected {
    fn holds(&self, oid: u32) -> bool {
        let Some(relation) = self.catalog.relation_by_oid(oid) else {
            // A relation of the session's own has an OID that only the server knows.
            return self.catalog.has_own() && self.catalog.stored_relation(oid).is_none();
        };
        self.proved.each().any(|facts| match &facts.columns {
            Fact::Known(columns) => columns
                .iter()
                .any(|used| *used.relation == *relation.name && *used.schema == *relation.schema),
            Fact::Unknown(_) => true,
        })
    }
}
