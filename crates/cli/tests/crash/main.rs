//! Record before forward: whatever reached the server has its record, however the door ends and
//! whatever its disk does.
//!
//! `PORTCULLIS_CRASHES` sets how many times the door is killed under each promise.

#[cfg(test)]
mod disk;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod load;
#[cfg(test)]
mod trace;
