//! The binary. Reads the command line and the environment, once, and hands over to a command.
//!
//! What is *not* here: judgement, parsing of SQL or protocol, sockets. Commands return whether
//! there is something to object to; errors are reported in one place, below.

mod args;
mod catalog_file;
mod command;
mod config;
mod limits;
mod logging;
mod output;
mod policy_file;
mod reading;

use std::process::ExitCode;

use clap::Parser;

use args::{CatalogCommand, Cli, Command};
use command::{Answer, Surroundings};
use config::layers::Environment;
use output::Style;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(args::normalized(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let environment = Environment::of_process();
    let style = match Style::choose(cli.color, &environment) {
        Ok(style) => style,
        Err(problem) => {
            output::complain(format_args!("portcullis: {problem}"));
            return Answer::Incomplete.exit_code();
        }
    };
    let surroundings = Surroundings { environment, style };
    match run(cli.command, &surroundings) {
        Ok(answer) => answer.exit_code(),
        Err(error) => {
            if !output::is_closed(&error) {
                output::complain(format_args!("portcullis: {error:#}"));
            }
            Answer::Incomplete.exit_code()
        }
    }
}

fn run(command: Command, surroundings: &Surroundings) -> anyhow::Result<Answer> {
    match command {
        Command::Config(args) => command::config::run(args, surroundings),
        Command::Doctor(args) => command::doctor::run(&args, surroundings),
        Command::Catalog(args) => match args.command {
            CatalogCommand::Dump(args) => command::catalog::dump(&args, surroundings),
        },
        Command::Reference(args) => command::reference::run(&args),
        Command::Version => command::version::run(),
        Command::Proxy(args) => command::proxy::run(*args, surroundings),
        Command::Check(args) => command::check::run(&args, surroundings),
        Command::Policy(args) => command::policy::run(args, surroundings),
        Command::VerifyLog(args) => command::verify_log::run(&args, surroundings),
        Command::Report(args) => command::report::run(&args),
    }
}

/// Help and version go to standard output and are a success; a usage error is neither.
fn usage(error: &clap::Error) -> ExitCode {
    match error.print() {
        Ok(()) if !error.use_stderr() => ExitCode::SUCCESS,
        Ok(()) | Err(_) => Answer::Incomplete.exit_code(),
    }
}
