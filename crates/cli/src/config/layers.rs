//! Who gave which value: flag > environment > file > default. Nothing is interpreted here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use super::setting::Key;
use super::suggest::closest;

/// Variables that are not settings of the proxy, with their meaning.
pub(crate) const OTHER_VARIABLES: &[(&str, &str)] = &[
    ("PORTCULLIS_CONFIG", "The configuration file, if `--config` does not name one"),
    ("PORTCULLIS_COLOR", "When to colour output, if `--color` does not say: auto, always, never"),
    ("NO_COLOR", "If it is set and not empty, output is not coloured unless asked for"),
    ("DATABASE_URL", "What `doctor` and `catalog dump` connect to, if `--dsn` does not say"),
    ("PGPASSWORD", "The password for `doctor` and the catalog, if the connection string has none"),
];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The command line.
    Flag,
    /// The named environment variable.
    Variable(&'static str),
    /// The configuration file.
    File {
        /// Its name, as given.
        file: String,
        /// From 1.
        line: u64,
        /// From 1.
        column: u64,
    },
    /// The registry.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// The text.
    pub(crate) text: String,
    /// Who wrote it.
    pub(crate) origin: Origin,
}

/// What is wrong with the configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where.
    pub(crate) place: String,
    /// What.
    pub(crate) message: String,
}

impl Problem {
    /// A problem with the value of a setting.
    pub(crate) fn with(key: Key, given: &Given, message: &str) -> Self {
        let setting = key.setting();
        let (place, subject) = match &given.origin {
            Origin::Flag => (format!("--{}", setting.flag), String::new()),
            Origin::Variable(name) => ((*name).to_owned(), String::new()),
            Origin::File { .. } => (given.origin.to_string(), format!("{}: ", setting.name)),
            Origin::Default => (setting.name.to_owned(), String::new()),
        };
        Self { place, message: format!("{subject}{message}, not `{}`", given.text) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: error: {}", self.place, self.message)
    }
}

/// The environment as the process found it, read once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The process's own.
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// The value of a variable; empty counts as unset, as it does in compose files.
    ///
    /// Fails if it is not Unicode.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&str>, Problem> {
        let Some(value) = self.0.get(std::ffi::OsStr::new(name)) else { return Ok(None) };
        match value.to_str() {
            Some("") => Ok(None),
            Some(text) => Ok(Some(text)),
            None => {
                Err(Problem { place: name.to_owned(), message: "it is not Unicode".to_owned() })
            }
        }
    }

    /// Names that start like ours and are not: most likely misspelt.
    pub(crate) fn strangers(&self) -> Vec<Problem> {
        let known: Vec<&str> = Key::ALL
            .iter()
            .flat_map(|key| key.setting().variables)
            .copied()
            .chain(OTHER_VARIABLES.iter().map(|(name, _)| *name))
            .collect();
        self.0
            .keys()
            .filter_map(|name| name.to_str())
            .filter(|name| name.starts_with("PORTCULLIS_") && !known.contains(name))
            .map(|name| {
                let hint = closest(name, known.iter().copied())
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                let message = format!("no setting has this variable{hint}");
                Problem { place: name.to_owned(), message }
            })
            .collect()
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Values that one layer gives.
pub(crate) type Layer = BTreeMap<Key, Given>;

/// The environment's layer.
pub(crate) fn environment_layer(environment: &Environment) -> (Layer, Vec<Problem>) {
    let mut layer = Layer::new();
    let mut problems = Vec::new();
    for key in Key::ALL.iter().copied() {
        for variable in key.setting().variables.iter().copied() {
            match environment.get(variable) {
                Ok(None) => {}
                Err(problem) => problems.push(problem),
                Ok(Some(text)) => {
                    let given = Given { text: text.to_owned(), origin: Origin::Variable(variable) };
                    // Two names, two answers: guessing could turn enforcement off.
                    match layer.get(&key) {
                        Some(first) if first.text != given.text => problems.push(Problem {
                            place: variable.to_owned(),
                            message: format!(
                                "says `{}`, but {} says `{}`: set only one of them",
                                given.text, first.origin, first.text
                            ),
                        }),
                        Some(_) => {}
                        None => {
                            layer.insert(key, given);
                        }
                    }
                }
            }
        }
    }
    (layer, problems)
}

/// Puts the layers on top of each other; every setting has a value afterwards.
pub(crate) fn stack(flags: Layer, environment: Layer, file: Layer) -> Layer {
    let mut stacked: Layer = Key::ALL
        .iter()
        .map(|key| {
            let text = key.setting().default.to_owned();
            (*key, Given { text, origin: Origin::Default })
        })
        .collect();
    for layer in [file, environment, flags] {
        stacked.extend(layer);
    }
    stacked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(text: &str) -> Layer {
        Layer::from([(Key::Mode, Given { text: text.to_owned(), origin: Origin::Flag })])
    }

    fn file(text: &str) -> Layer {
        let origin = Origin::File { file: "portcullis.yaml".to_owned(), line: 2, column: 7 };
        Layer::from([(Key::Mode, Given { text: text.to_owned(), origin })])
    }

    fn environment(pairs: &[(&str, &str)]) -> (Layer, Vec<Problem>) {
        environment_layer(&pairs.iter().copied().collect())
    }

    #[test]
    fn flag_over_environment_over_file_over_default() {
        let env = || environment(&[("POLICY_ENFORCEMENT", "observe")]).0;
        let none = Layer::new;
        let mode = |layer: Layer| layer.get(&Key::Mode).cloned().unwrap();
        assert_eq!(mode(stack(flag("block"), env(), file("watch"))).text, "block");
        let second = mode(stack(none(), env(), file("watch")));
        assert_eq!(second.text, "observe");
        assert_eq!(second.origin, Origin::Variable("POLICY_ENFORCEMENT"));
        let third = mode(stack(none(), none(), file("watch")));
        assert_eq!(third.origin.to_string(), "portcullis.yaml:2:7");
        let last = mode(stack(none(), none(), none()));
        assert_eq!((last.text.as_str(), last.origin), ("enforce", Origin::Default));
    }

    #[test]
    fn two_variables_that_disagree_are_an_error() {
        let pairs = [("PORTCULLIS_MODE", "enforce"), ("POLICY_ENFORCEMENT", "monitor")];
        assert_eq!(environment(&pairs).1.len(), 1);
        let pairs = [("PORTCULLIS_MODE", "enforce"), ("POLICY_ENFORCEMENT", "enforce")];
        assert!(environment(&pairs).1.is_empty());
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let (layer, problems) = environment(&[("POLICY_ENFORCEMENT", "")]);
        assert!(layer.is_empty() && problems.is_empty());
    }

    #[test]
    fn a_misspelt_variable_is_pointed_out() {
        let environment: Environment = [("PORTCULLIS_LISTN", ":1")].into_iter().collect();
        let strangers = environment.strangers();
        assert!(strangers[0].message.contains("`PORTCULLIS_LISTEN`"), "{strangers:?}");
    }
}
