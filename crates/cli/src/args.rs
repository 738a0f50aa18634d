//! The command line: its words, not their effects.
//!
//! The proxy's settings are not listed here: they are augmented from the registry in
//! [`crate::config::setting`], so that a flag, its variable and its key cannot drift apart.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{
    Arg, ArgMatches, Args, Command as ClapCommand, FromArgMatches, Parser, Subcommand, ValueEnum,
};

use crate::config::layers::{Given, Layer, Origin};
use crate::config::setting::Key;

/// A deterministic firewall between AI agents and PostgreSQL.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0 nothing to object to; 1 something was denied, broken or found; \
                  2 the work could not be done."
)]
pub(crate) struct Cli {
    /// When to colour output
    #[arg(long, global = true, value_name = "WHEN", value_enum)]
    pub(crate) color: Option<ColorChoice>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stand between agents and PostgreSQL (also: `portcullis --proxy`)
    #[command(visible_alias = "serve")]
    Proxy(Box<ProxyArgs>),
    /// Judge statements against a policy, without a database
    Check(Box<CheckArgs>),
    /// Check a policy document, or show what it gives to an agent
    Policy(PolicyArgs),
    /// Verify that nothing in a ledger was edited, reordered, removed or inserted
    VerifyLog(VerifyArgs),
    /// Sum up what agents did, from a ledger
    Report(ReportArgs),
    /// Look for what undermines the door: the database role's own powers
    Doctor(DoctorArgs),
    /// Write down what exists in a database, to judge by without it
    Catalog(CatalogArgs),
    /// Show or check the configuration
    Config(ConfigArgs),
    /// Show the version
    Version,
    /// Print a generated reference page
    #[command(hide = true)]
    Reference(ReferenceArgs),
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The proxy's settings, as far as flags give them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingFlags(pub(crate) Layer);

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in Key::ALL.iter().copied() {
            if let Some(text) = matches.get_one::<String>(key.setting().flag) {
                self.0.insert(key, Given { text: text.clone(), origin: Origin::Flag });
            }
        }
        Ok(())
    }
}

impl Args for SettingFlags {
    fn augment_args(command: ClapCommand) -> ClapCommand {
        Key::ALL.iter().fold(command, |command, key| {
            let setting = key.setting();
            let help = format!(
                "{} [env: {}] [default: {}]",
                setting.help,
                setting.variables.join(", "),
                setting.default
            );
            command.arg(
                Arg::new(setting.flag)
                    .long(setting.flag)
                    .visible_aliases(setting.flag_aliases.iter().copied())
                    .value_name(setting.value)
                    .help(help),
            )
        })
    }

    fn augment_args_for_update(command: ClapCommand) -> ClapCommand {
        Self::augment_args(command)
    }
}

/// `proxy`.
#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// The configuration file.
    #[arg(
        long,
        value_name = "FILE",
        help = "The configuration file [env: PORTCULLIS_CONFIG] [default: ./portcullis.yaml, if \
                there]"
    )]
    pub(crate) config: Option<PathBuf>,
    /// The settings.
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The policy document
    #[arg(long, alias = "policies", value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// What exists in the database: a file of `catalog dump`, or a connection string. Without it
    /// only what every PostgreSQL has is known; a rule about other columns and calls denies
    #[arg(long, value_name = "FILE|DSN")]
    pub(crate) catalog: Option<String>,
    /// Major version of the server [default: the catalog's, else 18]
    #[arg(long, value_name = "MAJOR")]
    pub(crate) server_version: Option<u16>,
    /// Who asks, unless a line of JSON says so.
    #[command(flatten)]
    pub(crate) who: WhoArgs,
    /// Form of the answers
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: AnswerFormat,
    /// Form of the questions; by default told from the file's name or its first byte
    #[arg(long, value_enum)]
    pub(crate) input: Option<QuestionFormat>,
    /// Show the thirteen steps of evaluation for each statement
    #[arg(long)]
    pub(crate) explain: bool,
    /// The statement or statements, as one submission
    #[arg(
        short = 'c',
        long = "command",
        value_name = "SQL",
        conflicts_with = "sources",
        allow_hyphen_values = true
    )]
    pub(crate) sql: Option<String>,
    /// Files with SQL (each is one submission) or, if named `*.jsonl`, with one question a line;
    /// standard input if there is none
    #[arg(value_name = "FILE")]
    pub(crate) sources: Vec<PathBuf>,
}

/// Who asks.
#[derive(Debug, Args)]
pub(crate) struct WhoArgs {
    /// The agent who asks
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// The mission it is on
    #[arg(long)]
    pub(crate) mission: Option<String>,
    /// The tenant it acts for
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// The database role it logs in as, for `$user` in the search path
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// The search path of its session
    #[arg(long, value_name = "SCHEMAS", default_value = "\"$user\", public")]
    pub(crate) search_path: String,
}

/// Form of `check`'s answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnswerFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Jsonl,
}

/// Form of `check`'s questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QuestionFormat {
    /// SQL text: one submission.
    Sql,
    /// One JSON object a line.
    Jsonl,
}

/// `policy`.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// What about it.
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

/// What to do with a policy document.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Report every mistake, with its line and column
    Lint(LintArgs),
    /// Show what an agent may do
    Show(ShowArgs),
}

/// `policy lint`.
#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// Policy documents
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Warnings fail too
    #[arg(long)]
    pub(crate) strict: bool,
    /// Form of the answer
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

/// `policy show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The policy document
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The agent
    #[arg(long)]
    pub(crate) agent: String,
    /// The mission it is on
    #[arg(long)]
    pub(crate) mission: Option<String>,
}

/// `verify-log`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The ledger's folder
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// The chain's secret; without it a rewritten chain cannot be told from a true one
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The public half of the checkpoint key, kept elsewhere, if the secret must not be here
    #[arg(long, value_name = "HEX", conflicts_with = "key_file")]
    pub(crate) public_key: Option<String>,
    /// Form of the answer
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

/// `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The ledger's folder, or one of its files
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Form of the report
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) format: Format,
    /// Write it to this file instead of standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Only this agent
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only this session
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// Include statement texts (sensitive)
    #[arg(long)]
    pub(crate) report_include_params: bool,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// How to connect.
    #[arg(
        long,
        value_name = "DSN",
        help = "How to connect: `postgres://…` or `host=… user=…` [env: DATABASE_URL]"
    )]
    pub(crate) dsn: Option<String>,
    /// The role that agents use [default: the one that connects]
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// Form of the answer
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
}

/// `catalog`.
#[derive(Debug, Args)]
pub(crate) struct CatalogArgs {
    /// What about it.
    #[command(subcommand)]
    pub(crate) command: CatalogCommand,
}

/// What to do with a catalog.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Write a database's relations, columns, functions and types to a file
    Dump(CatalogDumpArgs),
}

/// `catalog dump`.
#[derive(Debug, Args)]
pub(crate) struct CatalogDumpArgs {
    /// How to connect.
    #[arg(
        long,
        value_name = "DSN",
        help = "How to connect: `postgres://…` or `host=… user=…` [env: DATABASE_URL]"
    )]
    pub(crate) dsn: Option<String>,
    /// Where to: a file that only you can read, or `-` for standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// What about it.
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every value
    Show(Box<ConfigShowArgs>),
    /// Report every mistake
    Check(Box<ProxyArgs>),
}

/// `config show`.
#[derive(Debug, Args)]
pub(crate) struct ConfigShowArgs {
    /// Also print where each value comes from
    #[arg(long)]
    pub(crate) origin: bool,
    /// The settings.
    #[command(flatten)]
    pub(crate) proxy: ProxyArgs,
}

/// `reference`.
#[derive(Debug, Args)]
pub(crate) struct ReferenceArgs {
    /// Which page
    #[arg(value_enum)]
    pub(crate) page: Page,
}

/// A generated page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Page {
    /// Commands and flags.
    Cli,
    /// The configuration file.
    Config,
    /// Environment variables.
    Env,
    /// Reason codes.
    Reasons,
    /// The policy document: its marked parts made anew.
    Policy,
}

/// The page's spelling, `portcullis --proxy --listen …`, as the command `proxy`.
pub(crate) fn normalized(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let flags_first = args.get(1).is_some_and(|first| first.as_encoded_bytes().starts_with(b"-"));
    let proxy = args.iter().take_while(|arg| *arg != "--").position(|arg| arg == "--proxy");
    if let Some(position) = proxy.filter(|_| flags_first) {
        args.remove(position);
        args.insert(1, OsString::from("proxy"));
    }
    args
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let args = line.split(' ').map(OsString::from);
        Cli::try_parse_from(normalized(args))
    }

    fn flags(line: &str) -> Layer {
        let Command::Proxy(args) = parse(line).unwrap().command else {
            panic!("{line} is another command");
        };
        args.settings.0
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn proxy_may_be_a_flag_or_a_command() {
        let rest = "--listen :5433 --upstream localhost:5432 --policies ./policies.yaml";
        let command = flags(&format!("portcullis proxy {rest}"));
        assert_eq!(command.len(), 3);
        assert_eq!(command, flags(&format!("portcullis --proxy {rest}")));
        assert_eq!(command, flags(&format!("portcullis {rest} --proxy")));
        assert_eq!(command, flags(&format!("portcullis serve {rest}")));
        assert_eq!(flags("portcullis --proxy --policy p.yaml")[&Key::Policies].text, "p.yaml");
    }

    #[test]
    fn nothing_is_guessed() {
        assert!(parse("portcullis --listen :5433").is_err());
        assert!(parse("portcullis proxy --lisen :5433").is_err());
        assert!(parse("portcullis proxy --listen :1 --listen :2").is_err());
        assert!(parse("portcullis check").is_err());
        assert!(parse("portcullis check --policy p -c x file.sql").is_err());
    }
}
