//! Session text outside statements: startup `options`, startup parameters, `search_path` values.

use model::{SettingChange, SettingUse, SettingValue};

/// Splits a startup `options` value into words: blanks separate, a backslash keeps the next byte.
pub fn split_options(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = options.chars().peekable();
    loop {
        while chars.peek().is_some_and(|c| is_space(*c)) {
            chars.next();
        }
        if chars.peek().is_none() {
            return words;
        }
        words.push(word(&mut chars));
    }
}

/// C `isspace` in the C locale.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

fn word(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut word = String::new();
    let mut escaped = false;
    while let Some(&c) = chars.peek() {
        if is_space(c) && !escaped {
            break;
        }
        if !escaped && c == '\\' {
            escaped = true;
        } else {
            escaped = false;
            word.push(c);
        }
        chars.next();
    }
    word
}

/// The settings that startup parameters change, those inside `options` included, in the order in which
/// the server applies them: `options` first (PostgreSQL's `process_startup_options`). Of several
/// values for one setting the last one counts.
pub fn startup_settings(params: &[(String, String)]) -> Vec<SettingUse> {
    let (mut first, mut then) = (Vec::new(), Vec::new());
    for (name, value) in params {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => first.extend(switches(&split_options(value))),
            other if other.starts_with("_pq_.") => {}
            other => then.push(startup(other, value)),
        }
    }
    first.append(&mut then);
    first
}

fn startup(name: &str, value: &str) -> SettingUse {
    SettingUse {
        name: canonical(name),
        change: SettingChange::Startup,
        value: SettingValue::Constants(vec![value.to_owned()]),
    }
}

fn canonical(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn anything() -> SettingUse {
    SettingUse {
        name: "*".to_owned(),
        change: SettingChange::Startup,
        value: SettingValue::Unknown,
    }
}

/// The server's own command line, as far as a client may send one.
fn switches(words: &[String]) -> Vec<SettingUse> {
    let mut uses = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            // Not an option: the server refuses it, or takes it for something we do not know.
            uses.push(anything());
            continue;
        };
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            if takes_argument(letter) {
                let rest = letters.as_str();
                let argument =
                    if rest.is_empty() { words.next().cloned() } else { Some(rest.to_owned()) };
                uses.push(with_argument(letter, argument.as_deref()));
                break;
            }
            uses.push(without_argument(letter));
        }
    }
    uses
}

const fn takes_argument(letter: char) -> bool {
    matches!(
        letter,
        'B' | 'C'
            | 'D'
            | 'N'
            | 'S'
            | 'W'
            | 'c'
            | 'd'
            | 'f'
            | 'h'
            | 'k'
            | 'p'
            | 'r'
            | 't'
            | 'v'
            | '-'
    )
}

fn with_argument(letter: char, argument: Option<&str>) -> SettingUse {
    let Some(argument) = argument else { return anything() };
    match letter {
        'c' | '-' => match argument.split_once('=') {
            Some((name, value)) => startup(&name.replace('-', "_"), value),
            None => anything(),
        },
        'B' => startup("shared_buffers", argument),
        'N' => startup("max_connections", argument),
        'S' => startup("work_mem", argument),
        'W' => startup("post_auth_delay", argument),
        'h' => startup("listen_addresses", argument),
        'k' => startup("unix_socket_directories", argument),
        'p' => startup("port", argument),
        'f' => plan_switch(argument),
        _ => anything(),
    }
}

fn plan_switch(argument: &str) -> SettingUse {
    let name = match argument {
        "s" => "enable_seqscan",
        "i" => "enable_indexscan",
        "o" => "enable_indexonlyscan",
        "b" => "enable_bitmapscan",
        "t" => "enable_tidscan",
        "n" => "enable_nestloop",
        "m" => "enable_mergejoin",
        "h" => "enable_hashjoin",
        _ => return anything(),
    };
    startup(name, "false")
}

fn without_argument(letter: char) -> SettingUse {
    match letter {
        'F' => startup("fsync", "false"),
        'O' => startup("allow_system_table_mods", "true"),
        'P' => startup("ignore_system_indexes", "true"),
        'e' => startup("datestyle", "euro"),
        'l' => startup("ssl", "true"),
        's' => startup("log_statement_stats", "true"),
        _ => anything(),
    }
}

/// The schemas of a `search_path` value: comma-separated identifiers, unquoted ones folded.
/// `None` if PostgreSQL would call it malformed.
pub fn parse_search_path(value: &str) -> Option<Vec<String>> {
    identifiers(value, ',')
}

/// A list of identifiers with a separator, as PostgreSQL's `SplitIdentifierString` reads it.
pub(crate) fn identifiers(text: &str, separator: char) -> Option<Vec<String>> {
    let mut rest = text.trim_start_matches(is_space);
    let mut names = Vec::new();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let (name, after) = identifier(rest, separator)?;
        names.push(name);
        rest = after.trim_start_matches(is_space);
        if rest.is_empty() {
            return Some(names);
        }
        rest = rest.strip_prefix(separator)?.trim_start_matches(is_space);
    }
}

fn identifier(text: &str, separator: char) -> Option<(String, &str)> {
    if let Some(mut rest) = text.strip_prefix('"') {
        let mut name = String::new();
        loop {
            let (part, after) = rest.split_once('"')?;
            name.push_str(part);
            match after.strip_prefix('"') {
                Some(more) => {
                    name.push('"');
                    rest = more;
                }
                None => return Some((truncated(name), after)),
            }
        }
    }
    let end = text.find(|c| c == separator || is_space(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    (!name.is_empty()).then(|| (truncated(name.to_ascii_lowercase()), rest))
}

/// Cut to PostgreSQL's 63 bytes, at a character boundary.
fn truncated(mut name: String) -> String {
    const LONGEST: usize = 63;
    if name.len() > LONGEST {
        name.truncate(name.floor_char_boundary(LONGEST));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_split_at_blanks_and_honour_backslashes() {
        assert_eq!(split_options(r" -c a=b\ c  --d=e\\ "), ["-c", "a=b c", "--d=e\\"]);
        assert!(split_options("  ").is_empty());
    }

    #[test]
    fn search_path_values_are_identifiers() {
        let path = |text| parse_search_path(text);
        assert_eq!(path(r#""$user", Public"#).unwrap(), ["$user", "public"]);
        assert_eq!(path("").unwrap(), Vec::<String>::new());
        assert_eq!(path("a,,b"), None);
        assert_eq!(path(r#""a"#), None);
        assert_eq!(path("a b"), None);
    }
}
