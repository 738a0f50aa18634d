//! The configuration file as written: key, text and place. Unknown keys, wrong shapes and a
//! wrong version are all reported, each with its line and column; nothing is interpreted.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::layers::{Given, Layer, Origin, Problem};
use super::setting::Key;
use super::suggest::closest;

/// The version of the file's form that this program reads.
const VERSION: &str = "1";

/// The top level, in file order.
struct Document(Vec<(Spanned<String>, Spanned<Node>)>);

/// A value.
#[derive(Debug)]
enum Node {
    Text(String),
    List(Vec<Node>),
    /// A mapping.
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
    /// Nothing.
    Other,
}

/// Reads a configuration file.
pub(crate) fn parse(file: &str, text: &str) -> Result<Layer, Vec<Problem>> {
    let document = match serde_saphyr::from_str::<Document>(text) {
        Ok(document) => document,
        Err(error) => return Err(vec![unreadable(file, &error)]),
    };
    let mut layer = Layer::new();
    let mut problems = Vec::new();
    let mut version = false;
    for (name, node) in flat(document.0) {
        let place = |location: Location| Origin::File {
            file: file.to_owned(),
            line: location.line(),
            column: location.column(),
        };
        let wrong =
            |message: String, location| Problem { place: place(location).to_string(), message };
        if name.value == "version" {
            version = true;
            if node.value.text().as_deref() != Some(VERSION) {
                let message = format!("`version` is `{VERSION}` in this release");
                problems.push(wrong(message, node.referenced));
            }
            continue;
        }
        let Some(key) = Key::parse(&name.value) else {
            problems.push(wrong(unknown(&name.value), name.referenced));
            continue;
        };
        match node.value.text() {
            Some(text) => {
                layer.insert(key, Given { text, origin: place(node.referenced) });
            }
            None => problems.push(wrong(
                format!("`{}` needs a value such as `{}`", name.value, key.setting().default),
                name.referenced,
            )),
        }
    }
    if !version {
        let message = format!("the file must say `version: {VERSION}`");
        problems.push(Problem { place: format!("{file}:1:1"), message });
    }
    if problems.is_empty() { Ok(layer) } else { Err(problems) }
}

/// `catalog: {dsn: …}` is `catalog_dsn: …`.
fn flat(entries: Vec<(Spanned<String>, Spanned<Node>)>) -> Vec<(Spanned<String>, Spanned<Node>)> {
    let mut all = Vec::new();
    for (name, node) in entries {
        let group = format!("{}_", name.value);
        let names_a_group = Key::parse(&name.value).is_none()
            && Key::ALL.iter().any(|key| key.setting().name.starts_with(&group));
        match node.value {
            Node::Map(inner) if names_a_group => {
                for (mut key, value) in inner {
                    key.value = format!("{group}{}", key.value);
                    all.push((key, value));
                }
            }
            value @ (Node::Text(_) | Node::List(_) | Node::Map(_) | Node::Other) => {
                all.push((name, Spanned { value, ..node }));
            }
        }
    }
    all
}

fn unknown(name: &str) -> String {
    let names = Key::ALL.iter().map(|key| key.setting().name).chain(["version"]);
    match closest(name, names) {
        Some(near) => format!("no setting is called `{name}`; did you mean `{near}`?"),
        None => format!("no setting is called `{name}`"),
    }
}

fn unreadable(file: &str, error: &serde_saphyr::Error) -> Problem {
    let place = error.location().map_or_else(
        || file.to_owned(),
        |location| format!("{file}:{}:{}", location.line(), location.column()),
    );
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or("not a YAML document").to_owned();
    Problem { place, message }
}

impl Node {
    /// The value in the form that a flag would have it.
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::List(nodes) => {
                let parts: Option<Vec<String>> = nodes.iter().map(Self::text).collect();
                parts.map(|parts| parts.join(","))
            }
            Self::Map(_) | Self::Other => None,
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings, one `name: value` a line")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Document(entries))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        // YAML reads `off` as false.
        Ok(Node::Text(if value { "on" } else { "off" }.to_owned()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_place() {
        let text = "version: 1\nlisten: :6000\nmax_sessions: 5\nadmin: off\n\
                    search_path: ['\"$user\"', app]\n";
        let layer = parse("p.yaml", text).unwrap();
        assert_eq!(layer[&Key::Listen].text, ":6000");
        assert_eq!(layer[&Key::Listen].origin.to_string(), "p.yaml:2:9");
        assert_eq!(layer[&Key::MaxSessions].text, "5");
        assert_eq!(layer[&Key::Admin].text, "off");
        assert_eq!(layer[&Key::SearchPath].text, "\"$user\",app");
    }

    #[test]
    fn a_group_is_its_settings() {
        let text = "version: 1\ncatalog:\n  dsn: env:CATALOG\n  max_age: 1m\n";
        let layer = parse("p.yaml", text).unwrap();
        assert_eq!(layer[&Key::CatalogDsn].text, "env:CATALOG");
        assert_eq!(layer[&Key::CatalogMaxAge].origin.to_string(), "p.yaml:4:12");
        let problems = parse("p.yaml", "version: 1\ncatalog: {pol: 1s}\n").unwrap_err();
        assert!(problems[0].message.contains("`catalog_poll`"), "{problems:?}");
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let problems = parse("p.yaml", "lisen: :1\nmode:\n  a: b\nversion: 2\n").unwrap_err();
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert!(shown[0].starts_with("p.yaml:1:1: error: no setting is called `lisen`; did you"));
        assert!(shown[1].starts_with("p.yaml:2:1: error: `mode` needs a value"));
        assert!(shown[2].starts_with("p.yaml:4:10: "), "{}", shown[2]);
    }

    #[test]
    fn a_key_given_twice_or_broken_yaml_is_an_error() {
        assert!(parse("p.yaml", "version: 1\nmode: enforce\nmode: monitor\n").is_err());
        let problems = parse("p.yaml", "version: 1\nlisten: [1\n").unwrap_err();
        assert!(problems[0].place.starts_with("p.yaml:"), "{problems:?}");
        assert!(parse("p.yaml", "- a\n").is_err());
    }
}
