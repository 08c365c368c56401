//! The command `proxyfix`: see what your service sees behind its proxies, and why.
//!
//! | you want to | subcommand | file |
//! | --- | --- | --- |
//! | see what the layers do, in ten requests | `demo` | `demo.rs` |
//! | put a server behind your own proxies and see what arrives | `whoami` | `whoami.rs` |
//! | know why one request is decided as it is | `explain` | `explain.rs` |
//! | replay an access log under a new policy | `explain --jsonl` | `jsonl.rs` |
//! | check a configuration in CI | `lint` | `lint.rs` |
//!
//! All of them build their fixes in `stack.rs` and describe a decision in `decision.rs`
//! (JSON) and `text.rs` (people).

mod decision;
mod demo;
mod explain;
mod jsonl;
mod lint;
mod stack;
mod text;
mod whoami;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// See the request that your client sent, not the one that your proxies delivered.
#[derive(Debug, Parser)]
#[command(name = "proxyfix", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays requests as proxies and strangers against a real service on loopback, and shows each
    /// before and after.
    Demo,
    /// Serves what it sees: put it behind your own proxies.
    Whoami(whoami::Args),
    /// Explains how one request is decided, or with --jsonl a stream of them.
    Explain(explain::Args),
    /// Finds what configurations permit and probably should not. Fails with 1 where there is more than a note,
    /// with 2 where a file cannot be read.
    Lint(lint::Args),
}

fn main() -> ExitCode {
    let (result, failure) = match Cli::parse().command {
        Command::Demo => (demo::run().map(|()| ExitCode::SUCCESS), ExitCode::FAILURE),
        Command::Whoami(args) => (whoami::run(&args).map(|()| ExitCode::SUCCESS), ExitCode::FAILURE),
        Command::Explain(args) if args.jsonl => (jsonl::run().map(|()| ExitCode::SUCCESS), ExitCode::FAILURE),
        Command::Explain(args) => (explain::run(&args).map(|()| ExitCode::SUCCESS), ExitCode::FAILURE),
        Command::Lint(args) => (lint::run(&args), ExitCode::from(2)),
    };
    result.unwrap_or_else(|error| {
        anstream::eprintln!("proxyfix: {error}");
        failure
    })
}
