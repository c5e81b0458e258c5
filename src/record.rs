//! `pyrec record`: runs a program, or attaches to one, and records it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressStyle};
use pyrec_analyzer::Plain;
use pyrec_analyzer::filter::{Pattern, parse_duration};
use pyrec_recorder::{
    Capture, OnFull, Options, Outcome, Progress, Rotation, SizeOrDuration, Target, as_invoking_user,
};

use crate::extent::parse_extent;
use crate::input::DEFAULT;
use crate::output::say;
use crate::place::Place;
use crate::size::parse_size;
use crate::target::{Aim, Events, Provider, status};

/// Run a program and record it
///
/// CMD is what you would type without pyrec: a program with its arguments, or a script, -m MODULE or -c CODE for the
/// python3 beside pyrec in its virtual environment, or else on your PATH. Everything after its first word belongs to it. Its output is its own, and its exit status is
/// that of pyrec. Ctrl-C ends the program, and the recording is whole.
#[derive(Debug, Args)]
#[command(override_usage = "pyrec record [OPTIONS] [--] CMD…\n       pyrec record [OPTIONS] -p PID…\n       pyrec record [OPTIONS] --all", after_help = EXAMPLES)]
pub struct Record {
    /// Write the recording to FILE. Without it: pyrec.parquet, and the previous one is kept as pyrec.old.parquet
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace FILE if it exists
    #[arg(short, long, requires = "output")]
    force: bool,

    #[command(flatten)]
    events: Events,

    /// Record only functions whose name or file matches: `parse*`, `Decoder.*`, `json/*`
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    include: Vec<Pattern>,

    /// Record no functions whose name or file matches; their time belongs to the caller
    #[arg(long, value_name = "GLOB", help_heading = "Filters")]
    exclude: Vec<Pattern>,

    /// End the recording of what runs already after so long: `10s`, `2m`
    #[arg(long, value_name = "TIME", conflicts_with = "command", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// Write a directory of files, and begin a new one after SIZE or TIME: `100MB`, `10m`
    #[arg(long, value_name = "SIZE|TIME", value_parser = parse_extent, help_heading = "Long recordings")]
    rotate: Option<SizeOrDuration>,

    /// Keep the last SIZE or TIME only, for as long as it takes: `1GB`, `10m`
    #[arg(long, value_name = "SIZE|TIME", value_parser = parse_extent, help_heading = "Long recordings")]
    keep: Option<SizeOrDuration>,

    /// End the recording, and not the program, when it has SIZE: `500MB`
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Long recordings")]
    max_size: Option<u64>,

    /// What the program does when events come faster than they can be written
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    on_full: WhenFull,

    /// Let bpftrace, SystemTap and DTrace scripts hear what is recorded, by static markers as CPython's
    #[arg(long, conflicts_with = "pid")]
    expose_markers: bool,

    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    aim: Aim,
}

const EXAMPLES: &str = "\
Examples:
  pyrec record script.py --its options
  pyrec record -o tests.parquet -m pytest -x tests/
  pyrec record --lines -c 'import json; json.loads(\"[1, 2]\")'
  pyrec record --exclude 'site-packages/*' script.py
  pyrec record venv/bin/gunicorn app:app
  sudo pyrec record -p 4242
  pyrec record -p 4242 --duration 10s
  pyrec record --keep 10m server.py
  sudo pyrec record --all --markers gc";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum WhenFull {
    /// It waits, and nothing is lost
    #[default]
    Wait,
    /// It runs on, and what is lost is counted
    Drop,
}

impl Record {
    /// Returns the exit status of the program.
    pub fn run(self) -> Result<ExitCode> {
        let target = self.target()?;
        let clear = || Place::clear(self.output.as_deref(), self.force, Path::new(""));
        let place = as_invoking_user(clear)??;
        let options = Options {
            capture: self.capture(target),
            output: place.path().to_owned(),
            rotation: Rotation { rotate: self.rotate, keep: self.keep },
            max_bytes: self.max_size,
            duration: self.duration,
        };
        if self.expose_markers && !self.quiet {
            let library = pyrec_recorder::exposed_library();
            say(&format!("pyrec: markers: usdt:{}:python:*\n", library.display()));
        }
        let line = self.progress_line();
        let recorded = pyrec_recorder::record(&options, |progress| show(&line, progress));
        line.finish_and_clear();
        let settled = as_invoking_user(|| place.settle());
        let outcome = recorded?;
        settled??;
        if !self.quiet {
            say(&summary(&outcome, &options.output));
        }
        Ok(status(outcome.exit))
    }

    fn capture(&self, target: Target) -> Capture {
        Capture {
            include: texts(&self.include),
            exclude: texts(&self.exclude),
            on_full: match self.on_full {
                WhenFull::Wait => OnFull::Wait,
                WhenFull::Drop => OnFull::Drop,
            },
            expose_markers: self.expose_markers,
            ..Capture::of(target, self.aim.provider.into(), self.events.groups())
        }
    }

    fn target(&self) -> Result<Target> {
        if self.expose_markers && self.aim.provider == Provider::Usdt {
            bail!("--expose-markers is for the agent; --provider usdt reads CPython's own");
        }
        self.aim.target("record")
    }

    /// Drawn only where nobody else writes: while the program prints to the same terminal, that is the program's.
    fn progress_line(&self) -> ProgressBar {
        let free = self.aim.command.is_empty() || !std::io::stdout().is_terminal();
        if self.quiet || !free || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("pyrec: {elapsed} {msg}");
        ProgressBar::new_spinner().with_style(style.expect("the template is valid"))
    }
}

/// Globs as they were given.
fn texts(patterns: &[Pattern]) -> Vec<String> {
    patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect()
}

fn show(line: &ProgressBar, progress: &Progress) {
    if line.is_hidden() {
        return;
    }
    let Progress { events, lost, bytes, .. } = *progress;
    line.set_message(format!(
        "{} events, {}, {} lost",
        HumanCount(events),
        DecimalBytes(bytes),
        HumanCount(lost)
    ));
    line.tick();
}

/// What came of it, and what to type next.
fn summary(outcome: &Outcome, output: &Path) -> String {
    let Outcome { events, lost, waited, bytes, notices, .. } = outcome;
    let notices: String = notices.iter().map(|notice| format!("pyrec: {}\n", Plain(notice))).collect();
    let waited = match waited {
        Some(waited) => format!(", program waited {:.3} s", waited.as_secs_f64()),
        None => String::new(),
    };
    let input = match output == Path::new(DEFAULT) {
        true => String::new(),
        false => format!("-i {} ", Plain(&quoted(&output.to_string_lossy()))),
    };
    // Nothing to draw: what there is to say is in the notices.
    let next = match events {
        0 => String::new(),
        _ => format!("pyrec: next: pyrec flame {input}flame.svg\n"),
    };
    format!(
        "{notices}pyrec: {events} events in {output}, {bytes}, {lost} lost{waited}\n{next}",
        events = HumanCount(*events),
        lost = HumanCount(*lost),
        bytes = DecimalBytes(*bytes),
        output = Plain(&output.to_string_lossy()),
    )
}

/// As a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    match !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::time::Duration;

    use pyrec_recorder::Exit;
    use pyrec_schema::MarkerGroup;

    use super::*;
    use crate::cli::{Command, parse};

    /// What `pyrec record` with these words would do.
    fn record(words: &[&str]) -> Result<Record, String> {
        let words = ["pyrec", "record"].iter().chain(words).map(OsString::from);
        match parse(words) {
            Ok(Command::Record(record)) => Ok(record),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn command(words: &[&str]) -> Target {
        Target::Command(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn everything_after_the_first_word_belongs_to_the_command() {
        let table: &[(&[&str], Option<&str>, &[&str])] = &[
            (&["script.py"], None, &["script.py"]),
            (&["script.py", "--its", "-o", "options"], None, &["script.py", "--its", "-o", "options"]),
            (&["-o", "x", "script.py", "-q"], Some("x"), &["script.py", "-q"]),
            (&["-o", "x", "--", "script.py", "-o", "y"], Some("x"), &["script.py", "-o", "y"]),
            (&["-m", "http.server", "--", "--flag"], None, &["-m", "http.server", "--", "--flag"]),
            (&["-o", "x", "-m", "mod", "-o", "y"], Some("x"), &["-m", "mod", "-o", "y"]),
            (&["--", "-m", "mod", "--help"], None, &["-m", "mod", "--help"]),
            (&["-c", "print(1)", "-p", "7"], None, &["-c", "print(1)", "-p", "7"]),
            (&["-c", "-1", "--lines"], None, &["-c", "-1", "--lines"]),
            (
                &["python3", "-X", "dev", "a.py", "--version"],
                None,
                &["python3", "-X", "dev", "a.py", "--version"],
            ),
            (&["--output=x", "prog", ""], Some("x"), &["prog", ""]),
        ];
        for (words, output, cmd) in table {
            let record = record(words).expect("it is understood");
            assert_eq!(record.target().expect("it is a command"), command(cmd), "{words:?}");
            assert_eq!(record.output.as_deref(), output.map(Path::new), "{words:?}");
            assert_eq!(
                (record.quiet, record.events.lines, record.aim.pid),
                (false, false, vec![]),
                "{words:?}"
            );
        }
    }

    #[test]
    fn options_before_the_command_are_ours() {
        let record =
            record(&["-q", "--lines", "--provider", "usdt", "--on-full", "drop", "-fo", "x", "a.py"]);
        let record = record.expect("it is understood");
        assert!(record.quiet && record.force);
        assert_eq!(
            record.events.groups(),
            [MarkerGroup::Function, MarkerGroup::Line, MarkerGroup::Gc, MarkerGroup::Import]
        );
        assert_eq!((record.aim.provider, record.on_full), (Provider::Usdt, WhenFull::Drop));
        assert_eq!(record.output.as_deref(), Some(Path::new("x")));
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let record = record(&["a.py"]).expect("it is understood");
        assert_eq!(record.events.groups(), [MarkerGroup::Function, MarkerGroup::Gc, MarkerGroup::Import]);
        assert_eq!((record.aim.provider, record.on_full), (Provider::Auto, WhenFull::Wait));
        assert!(!record.force && !record.quiet && record.output.is_none());
    }

    #[test]
    fn markers_are_groups_by_name() {
        let groups = |words| record(words).map(|record| record.events.groups());
        assert_eq!(groups(&["--markers", "gc", "a.py"]), Ok(vec![MarkerGroup::Gc]));
        assert_eq!(
            groups(&["--markers", "line,function,line", "a.py"]),
            Ok(vec![MarkerGroup::Function, MarkerGroup::Line])
        );
        assert_eq!(
            groups(&["--markers=function", "--lines", "a.py"]),
            Ok(vec![MarkerGroup::Function, MarkerGroup::Line])
        );
        let unknown = groups(&["--markers", "function,lines", "a.py"]).expect_err("there is no such group");
        assert!(unknown.contains("lines") && unknown.contains("function, line, gc"), "{unknown}");
    }

    #[test]
    fn filters_are_globs() {
        let recorded = record(&["--include", "json/*", "--exclude", "scan", "--include", "f", "a.py"]);
        let recorded = recorded.expect("it is understood");
        assert_eq!(texts(&recorded.include), ["json/*", "f"]);
        assert_eq!(texts(&recorded.exclude), ["scan"]);
        let message = record(&["--exclude", "a[", "a.py"]).expect_err("no glob");
        assert!(message.contains("`a[` is not a pattern"), "{message}");
    }

    #[test]
    fn a_process_takes_the_place_of_a_command() {
        let table: &[(&[&str], Target)] = &[
            (&["-p", "7"], Target::Processes(vec![7])),
            (&["-p", "9,7"], Target::Processes(vec![7, 9])),
            (&["-p", "7", "-q", "-p", "9", "-p", "7"], Target::Processes(vec![7, 9])),
            (&["--all"], Target::Machine),
        ];
        for (words, expected) in table {
            let target = record(words).expect("it is understood").target();
            assert_eq!(&target.expect("it is one"), expected, "{words:?}");
        }
        let all = ["--all", "a.py"];
        for wrong in [
            &["-p", "7", "a.py"][..],
            &all,
            &["--all", "-p", "7"],
            &["-p", "7,"],
            &["-p", "0"],
            &["-p", "-7"],
            &["-p", "x"],
            &["-p"],
        ] {
            assert!(record(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [&[][..], &["-q"], &["-o"], &["-f", "a.py"], &["--on-full", "stop", "a.py"]] {
            assert!(record(wrong).is_err(), "{wrong:?}");
        }
        for wrong in [
            &["--line", "a.py"][..],
            &["-mjson.tool"],
            &["-X", "dev", "a.py"],
            &["-m"],
            &["-c"],
            &["--", "-o"],
        ] {
            let record = record(wrong).expect("clap takes it for a command");
            assert!(record.target().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ends_with_the_next_command() {
        let mut outcome = Outcome {
            exit: Exit::Status(0),
            events: 1_234_567,
            lost: 0,
            waited: Some(Duration::from_millis(1_250)),
            bytes: 2_500_000,
            notices: vec![],
        };
        let text = summary(&outcome, Path::new(DEFAULT));
        assert_eq!(
            text,
            "pyrec: 1,234,567 events in pyrec.parquet, 2.50 MB, 0 lost, program waited 1.250 s\n\
             pyrec: next: pyrec flame flame.svg\n"
        );
        outcome.waited = None;
        outcome.notices.push("sys.setprofile was in use".into());
        let text = summary(&outcome, Path::new("my runs/a.parquet"));
        assert!(text.starts_with("pyrec: sys.setprofile was in use\npyrec: 1,234,567 events"), "{text}");
        assert!(
            text.ends_with("0 lost\npyrec: next: pyrec flame -i 'my runs/a.parquet' flame.svg\n"),
            "{text}"
        );
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        let table = [
            ("a/b-1.parquet", "a/b-1.parquet"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("-i", "'-i'"),
        ];
        for (word, expected) in table {
            assert_eq!(quoted(word), expected);
        }
    }
}
