//! `pyrec top` on a terminal of tmux, which reports what the screen shows.

#![cfg(feature = "record")]

mod support;

use std::process::Command;

use support::{Python, program, run, signal, skip, stderr, stdout, wait_for};
use tempfile::TempDir;

/// A terminal that runs a shell command.
struct Terminal {
    folder: TempDir,
}

impl Terminal {
    /// Starts the command. Skips the test if there is no tmux.
    fn open(width: u16, height: u16, command: &str) -> Option<Terminal> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skip("no tmux");
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
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stdout(&output)
    }

    fn keys(&self, keys: &str) {
        self.tmux(&["send-keys", keys]);
    }

    /// The screen, with up to 500 lines that were scrolled out.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-S", "-500"])
    }

    /// Waits until the screen contains all of these texts.
    fn wait_for_screen(&self, expected: &[&str]) -> String {
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

/// A terminal that runs `pyrec top` on a program without an end, then prints the exit status and a
/// setting of the terminal.
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

/// Whether the screen has a row for a function.
fn has_row(screen: &str, name: &str) -> bool {
    screen.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&name) && words[0].bytes().all(|byte| byte.is_ascii_digit() || byte == b',')
    })
}

#[test]
fn keys_change_order_window_filter_and_view() {
    let Some((terminal, _folder)) = top() else { return };
    let screen = terminal.wait_for_screen(&["pyrec top", "by calls, last 0.", " tick "]);
    assert!(has_row(&screen, "tick") && screen.contains("FILE:LINE"), "{screen}");
    assert!(screen.contains(" calls/s, ") && screen.contains(" 0 lost"), "{screen}");

    terminal.keys("s");
    terminal.wait_for_screen(&["by self time"]);
    terminal.keys("w");
    terminal.wait_for_screen(&["since the start"]);
    terminal.keys("/");
    terminal.keys("nonexistent");
    terminal.wait_for_screen(&["filter: nonexistent_", "no function that matches"]);
    terminal.keys("Escape");
    terminal.wait_for_screen(&[" tick "]);
    terminal.keys("p");
    terminal.wait_for_screen(&["PAUSED"]);
    terminal.keys("p");
    terminal.keys("h");
    assert!(!has_row(&terminal.wait_for_screen(&["freeze the table"]), "tick"));
    terminal.keys("x");
    terminal.wait_for_screen(&[" tick "]);
    terminal.tmux(&["resize-window", "-x", "50", "-y", "12"]);
    let narrow = wait_for("a narrow table", || {
        let screen = terminal.screen();
        (!screen.contains(" CALLS ") && has_row(&screen, "tick")).then_some(screen)
    });
    assert!(narrow.contains("CALLS/S") && narrow.lines().all(|line| line.chars().count() <= 50), "{narrow}");

    terminal.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    terminal.keys("q");
    let end = terminal.wait_for_screen(&["status 130", "icanon"]);
    assert!(end.contains("KeyboardInterrupt") && end.lines().any(|line| line.contains(" tick  ")), "{end}");
    assert!(!end.contains("-icanon"), "the terminal is not in line mode: {end}");
}

#[test]
fn after_a_signal_the_terminal_is_restored() {
    let Some((terminal, _folder)) = top() else { return };
    terminal.wait_for_screen(&[" tick "]);
    assert_eq!(terminal.tmux(&["display-message", "-p", "#{alternate_on}"]).trim(), "1");
    let shell = terminal.tmux(&["display-message", "-p", "#{pane_pid}"]);
    let pyrec = run(Command::new("pgrep").args(["-x", "-P", shell.trim(), "pyrec"]));
    signal(stdout(&pyrec).trim(), "TERM");
    let end = terminal.wait_for_screen(&["status 143", "icanon"]);
    assert!(!end.contains("-icanon"), "{end}");
    assert_eq!(terminal.tmux(&["display-message", "-p", "#{alternate_on}"]).trim(), "0");
}
