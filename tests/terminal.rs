//! `pyrec top` on a terminal: tmux has one, and says what is on it.

#![cfg(feature = "record")]

mod support;

use std::process::Command;

use support::{Python, program, run, signal, skipped, wait_for};
use tempfile::TempDir;

/// A terminal with a shell's command on it.
struct Terminal {
    folder: TempDir,
}

impl Terminal {
    /// None where there is no tmux.
    fn open(width: u16, height: u16, command: &str) -> Option<Terminal> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skipped("there is no tmux");
            return None;
        }
        let terminal = Terminal { folder: tempfile::tempdir().expect("a temporary directory") };
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, command]);
        Some(terminal)
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.folder.path().join("socket")).env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        let output = run(command.args(words));
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it is text")
    }

    fn keys(&self, keys: &str) {
        self.tmux(&["send-keys", keys]);
    }

    /// What is on it, and what has gone out at the top.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-S", "-500"])
    }

    /// The first screen that has all of these on it.
    fn wait(&self, expected: &[&str]) -> String {
        wait_for(&format!("{expected:?}"), || {
            let screen = self.screen();
            expected.iter().all(|text| screen.contains(text)).then_some(screen)
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// `pyrec top` of a program that calls `tick` until it is killed; then how it ended, and what the terminal does. None
/// where there is no terminal or no Python.
fn top() -> Option<(Terminal, TempDir)> {
    let (python, folder) = (Python::any()?, tempfile::tempdir().expect("a temporary directory"));
    let command = format!(
        "{} top --interval 0.2 {} {} {}; echo status $?; stty -a | tr ' ' '\\n' | grep icanon; cat",
        env!("CARGO_BIN_EXE_pyrec"),
        python.program.display(),
        program("forever.py").display(),
        folder.path().join("calls").display()
    );
    Some((Terminal::open(80, 24, &command)?, folder))
}

/// Whether a function's row is there.
fn has_row(screen: &str, name: &str) -> bool {
    screen.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&name) && words[0].bytes().all(|byte| byte.is_ascii_digit() || byte == b',')
    })
}

#[test]
fn keys_do_what_they_say() {
    let Some((terminal, _folder)) = top() else { return };
    let screen = terminal.wait(&["pyrec top", "by calls, last 0.", " tick "]);
    assert!(has_row(&screen, "tick") && screen.contains("FILE:LINE"), "{screen}");
    assert!(screen.contains(" calls/s, ") && screen.contains(" 0 lost"), "{screen}");

    terminal.keys("s");
    terminal.wait(&["by self time"]);
    terminal.keys("w");
    terminal.wait(&["since the beginning"]);
    terminal.keys("/");
    terminal.keys("nobody");
    terminal.wait(&["filter: nobody_", "no function of that name"]);
    terminal.keys("Escape");
    terminal.wait(&[" tick "]);
    terminal.keys("p");
    terminal.wait(&["PAUSED"]);
    terminal.keys("p");
    terminal.keys("h");
    assert!(!has_row(&terminal.wait(&["hold the picture"]), "tick"));
    terminal.keys("x");
    terminal.wait(&[" tick "]);
    terminal.tmux(&["resize-window", "-x", "50", "-y", "12"]);
    let narrow = wait_for("a narrow table", || {
        let screen = terminal.screen();
        (!screen.contains(" CALLS ") && has_row(&screen, "tick")).then_some(screen)
    });
    assert!(narrow.contains("CALLS/S") && narrow.lines().all(|line| line.chars().count() <= 50), "{narrow}");

    terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    terminal.keys("q");
    let end = terminal.wait(&["status 130", "icanon"]);
    assert!(end.contains("KeyboardInterrupt") && end.lines().any(|line| line.contains(" tick  ")), "{end}");
    assert!(!end.contains("-icanon"), "the terminal takes lines again: {end}");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let Some((terminal, _folder)) = top() else { return };
    terminal.wait(&[" tick "]);
    assert_eq!(terminal.tmux(&["display-message", "-p", "#{alternate_on}"]).trim(), "1");
    let shell = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
    let pyrec = run(Command::new("pgrep").args(["-x", "-P", shell.trim(), "pyrec"]));
    signal(String::from_utf8_lossy(&pyrec.stdout).trim(), "TERM");
    let end = terminal.wait(&["status 143", "icanon"]);
    assert!(!end.contains("-icanon"), "{end}");
    assert_eq!(terminal.tmux(&["display-message", "-p", "#{alternate_on}"]).trim(), "0");
}
