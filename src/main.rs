//! The one binary. It reads its options, does what the subcommand says, and tells what went wrong in one line.

use std::env::VarError;
use std::io::Write as _;
use std::process::ExitCode;

use billing_gateway::config::{Cli, Command, LogFormat};
use billing_gateway::error::Error;
use billing_gateway::run::{demo, serve, tools};
use mimalloc::MiMalloc;
use tracing_subscriber::EnvFilter;

/// Answers are thousands of small pieces that live for a millisecond: what this allocator is made for.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::read().unwrap_or_else(|error| error.exit());
    let format = match &cli.command {
        Command::Serve(serve) => serve.log_format,
        _ => LogFormat::Text,
    };
    // The demo's own words are what is read; the others log what they do.
    let quiet = matches!(&cli.command, Command::Demo(_) | Command::Schema | Command::Token(_));
    let default = if quiet { "warn" } else { "info,sea_orm_migration=warn" };
    let ended = match log_to_stderr(format, default) {
        Ok(()) => run(cli.command).await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("billing-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Serve(options) => serve::serve(*options).await?,
        Command::Migrate(store) => say(&format!("{}\n", tools::migrate(&store).await?)),
        Command::Seed(store) => say(&format!("{}\n", tools::seed(&store).await?)),
        Command::Schema => say(&billing_gateway::graphql::sdl()),
        Command::Token(options) => say(&format!("{}\n", tools::token(&options).await?)),
        Command::Tick(options) => say(&format!("{}\n", tools::tick(&options).await?)),
        Command::CheckLedger(store) => {
            let differences = tools::check_ledger(&store).await?;
            if !differences.is_empty() {
                for difference in &differences {
                    say(&format!("{difference}\n"));
                }
                return Ok(ExitCode::FAILURE);
            }
            say("The books agree.\n");
        }
        Command::Demo(options) => demo::demo(options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a result. A reader that has gone away (`| head`) is no failure of ours.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Errors: [`Error::Configuration`] for a `BILLING_LOG` that can't be read; nothing would be logged as it was meant.
fn log_to_stderr(format: LogFormat, default: &str) -> Result<(), Error> {
    let asked = match std::env::var("BILLING_LOG") {
        Ok(asked) if !asked.trim().is_empty() => asked,
        Ok(_) | Err(VarError::NotPresent) => default.to_owned(),
        Err(VarError::NotUnicode(_)) => return Err(Error::configuration("BILLING_LOG is not text")),
    };
    let filter = EnvFilter::try_new(&asked)
        .map_err(|error| Error::configuration(format_args!("BILLING_LOG can't be read: {error}")))?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}
