//! Time as an input: the [`Clock`] that records take their time from, and RFC 3339 in and out.
//!
//! What is not here: waiting. The syncer waits on a condition variable with monotonic time-outs,
//! which no clock can move.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

/// Where records take their time from.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that others take time from")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

const NANOS: u64 = 1_000_000_000;
const DAY: u64 = 86_400;
const TEXT_LEN: usize = 30;

impl Timestamp {
    /// Appends `2026-11-25T03:02:55.123456789Z`.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let seconds = self.0 / NANOS;
        let (year, month, day) = civil(seconds / DAY);
        let time = seconds % DAY;
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        digits(&mut text, 0..4, year);
        digits(&mut text, 5..7, month);
        digits(&mut text, 8..10, day);
        digits(&mut text, 11..13, time / 3600);
        digits(&mut text, 14..16, time / 60 % 60);
        digits(&mut text, 17..19, time % 60);
        digits(&mut text, 20..29, self.0 % NANOS);
        out.extend_from_slice(&text);
    }

    /// Reads what [`Display`](std::fmt::Display) writes; fractions may have one to nine digits or
    /// be absent.
    pub fn parse(text: &str) -> Option<Self> {
        let (date_time, fraction) = match text.strip_suffix('Z')?.split_once('.') {
            Some((date_time, fraction)) => (date_time, fraction),
            None => (text.strip_suffix('Z')?, "0"),
        };
        let (date, time) = date_time.split_once('T')?;
        let [year, month, day] = three(date, '-')?;
        let [hour, minute, second] = three(time, ':')?;
        let in_range = (1970..=2500).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !in_range || fraction.is_empty() || fraction.len() > 9 {
            return None;
        }
        let scale = 10_u64.checked_pow(9_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?)?;
        let nanos = number(fraction)?.checked_mul(scale)?;
        let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
        Some(Self(seconds.checked_mul(NANOS)?.checked_add(nanos)?))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = Vec::with_capacity(TEXT_LEN);
        self.write(&mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn digits(text: &mut [u8; TEXT_LEN], range: std::ops::Range<usize>, mut value: u64) {
    for slot in text.get_mut(range).unwrap_or_default().iter_mut().rev() {
        *slot = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn three(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.split(separator).map(number);
    let triple = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(triple)
}

/// Day number to year, month, day, counted in 400-year eras that start on 1 March of year 0.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil`], for years from 1970.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let year_of_era = year % 400;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year / 400 * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_795_575_775_123_456_789, "2026-11-25T03:02:55.123456789Z"),
            (4_102_444_799_999_999_999, "2099-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(Timestamp(nanos).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp(nanos)));
        }
        assert_eq!(Timestamp::parse("2000-02-29T00:00:00.5Z").unwrap().0 % NANOS, NANOS / 2);
        assert!(Timestamp::parse("2000-02-29T00:00:00Z").is_some());
    }

    #[test]
    fn malformed_times_are_none() {
        for text in ["", "Z", "2000-02-29", "2000-13-01T00:00:00Z", "2000-01-01T24:00:00Z"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn times_round_trip(nanos in 0..16_000_000_000_000_000_000_u64) {
            let text = Timestamp(nanos).to_string();
            proptest::prop_assert_eq!(Timestamp::parse(&text), Some(Timestamp(nanos)));
        }
    }
}
