//! Configuration: raw, then resolved. Flag > environment > file > default.
//!
//! This is the only module that reads the environment. Policy is not configuration: it has its
//! own file, its own checks and its own reload.

pub(crate) mod layers;
mod raw;
pub(crate) mod resolved;
pub(crate) mod setting;
pub(crate) mod suggest;
pub(crate) mod value;

use std::fmt;
use std::path::{Path, PathBuf};

use layers::{Environment, Layer, Problem};
use resolved::Config;

use crate::limits;
use crate::reading;

/// The file that is read if none is named.
pub(crate) const DEFAULT_FILE: &str = "portcullis.yaml";

/// The configuration and how it came about.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What it means.
    pub(crate) config: Config,
    /// Every value as written, with its origin.
    pub(crate) layer: Layer,
    /// The file that was read, if one was.
    pub(crate) file: Option<PathBuf>,
    /// Worth a word.
    pub(crate) warnings: Vec<String>,
}

/// Everything that is wrong with the configuration.
#[derive(Debug)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.iter();
        if let Some(first) = lines.next() {
            write!(f, "{first}")?;
        }
        lines.try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl std::error::Error for Problems {}

/// Collects the layers and gives them their meaning.
pub(crate) fn load(
    flags: Layer,
    named: Option<&Path>,
    environment: &Environment,
) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let file = match file_name(named, environment) {
        Ok(file) => file,
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let mut file_layer = Layer::new();
    if let Some(path) = &file {
        match read_file(path) {
            Ok(layer) => file_layer = layer,
            Err(found) => problems.extend(found),
        }
    }
    let (environment_layer, found) = layers::environment_layer(environment);
    problems.extend(found);
    let layer = layers::stack(flags, environment_layer, file_layer);
    match resolved::resolve(&layer) {
        Ok(config) if problems.is_empty() => {
            let strangers = environment.strangers();
            let mut warnings: Vec<String> = strangers
                .iter()
                .map(|problem| format!("{}: {}", problem.place, problem.message))
                .collect();
            warnings.extend(resolved::warnings(&config));
            Ok(Loaded { config, layer, file, warnings })
        }
        Ok(_) => Err(Problems(problems)),
        Err(found) => {
            problems.extend(found);
            Err(Problems(problems))
        }
    }
}

/// The file to read: named by flag or variable (then it must exist), else the default if there.
fn file_name(named: Option<&Path>, environment: &Environment) -> Result<Option<PathBuf>, Problem> {
    if let Some(path) = named {
        return Ok(Some(path.to_owned()));
    }
    if let Some(path) = environment.get("PORTCULLIS_CONFIG")? {
        return Ok(Some(PathBuf::from(path)));
    }
    let default = PathBuf::from(DEFAULT_FILE);
    // A file that exists and cannot be read is an error later, not "absent".
    match default.try_exists() {
        Ok(false) => Ok(None),
        Ok(true) | Err(_) => Ok(Some(default)),
    }
}

fn read_file(path: &Path) -> Result<Layer, Vec<Problem>> {
    let place = path.display().to_string();
    match reading::text_file(path, limits::MAX_CONFIG_BYTES) {
        Ok(text) => raw::parse(&place, &text),
        Err(error) => Err(vec![Problem { place, message: error.to_string() }]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_must_exist() {
        let absent = Path::new("/nonexistent/portcullis.yaml");
        let problems = load(Layer::new(), Some(absent), &Environment::default()).unwrap_err();
        assert!(problems.to_string().starts_with("/nonexistent/portcullis.yaml: error: "));
    }

    #[test]
    fn a_bad_value_in_the_environment_is_an_error_that_names_the_values() {
        let environment: Environment = [("POLICY_ENFORCEMENT", "of")].into_iter().collect();
        let problems = load(Layer::new(), None, &environment).unwrap_err().to_string();
        assert!(
            problems.starts_with("POLICY_ENFORCEMENT: error: expected `enforce`"),
            "{problems}"
        );
        assert!(problems.contains("`monitor`"), "{problems}");
    }
}
