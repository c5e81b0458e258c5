//! The state of the view, and the keys that change it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::table::{RowFilter, Sort, Window};

/// What the view shows, as chosen by keys.
#[derive(Debug, Default)]
pub struct ViewState {
    /// The order of the rows.
    pub sort: Sort,
    /// The window of time.
    pub window: Window,
    /// Selects the rows.
    pub filter: RowFilter,
    /// The previous filter text while a new one is typed.
    pub previous_text: Option<String>,
    /// Whether the table is frozen. Counting continues.
    pub is_paused: bool,
    /// Whether the list of keys replaces the table.
    pub shows_help: bool,
    /// The number of rows scrolled out above the table.
    pub scroll: usize,
    /// How often a key for quitting was pressed.
    pub quit_presses: usize,
}

/// The keys and their descriptions.
pub const KEYS: [(&str, &str); 13] = [
    ("c", "most calls first"),
    ("s", "most time in the function itself first"),
    ("t", "most time in the function and its callees first"),
    ("n", "sort by name"),
    ("w", "switch between the last interval and the time since the start"),
    ("/", "show only functions whose name or file contains a text"),
    ("Esc", "show all functions again"),
    ("p, space", "freeze the table; counting continues"),
    ("↑ ↓ j k", "scroll; PgUp, PgDn, Home"),
    ("h, ?", "list the keys"),
    ("q, Ctrl-C", "quit: sends SIGINT to a program that pyrec started;"),
    ("", "pressed again, leaves the program running"),
    ("", "any key returns to the table"),
];

/// The rows that PgUp and PgDn scroll.
const PAGE: usize = 15;

impl ViewState {
    /// Applies a key.
    pub fn press(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            self.quit_presses += 1;
        } else if self.previous_text.is_some() {
            self.type_filter(key.code);
        } else if self.shows_help && key.code != KeyCode::Char('q') {
            self.shows_help = false;
        } else {
            self.apply_command(key.code);
        }
    }

    fn apply_command(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char('c') => self.sort = Sort::Calls,
            KeyCode::Char('s') => self.sort = Sort::SelfTime,
            KeyCode::Char('t') => self.sort = Sort::Total,
            KeyCode::Char('n') => self.sort = Sort::Name,
            KeyCode::Char('w') => {
                self.window = match self.window {
                    Window::Interval => Window::Start,
                    Window::Start => Window::Interval,
                }
            }
            KeyCode::Char('/') => self.previous_text = Some(std::mem::take(&mut self.filter.text)),
            KeyCode::Esc => self.filter.text.clear(),
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('h' | '?') => self.shows_help = true,
            KeyCode::Char('q') => self.quit_presses += 1,
            KeyCode::Down | KeyCode::Char('j') => self.scroll += 1,
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll += PAGE,
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::Home => self.scroll = 0,
            _ => {}
        }
    }

    /// Edits the filter text, which applies at once. Enter keeps it, Esc restores the previous one.
    fn type_filter(&mut self, key: KeyCode) {
        self.scroll = 0;
        match key {
            KeyCode::Enter => self.previous_text = None,
            KeyCode::Esc => self.filter.text = self.previous_text.take().unwrap_or_default(),
            KeyCode::Backspace => drop(self.filter.text.pop()),
            KeyCode::Char(letter) => self.filter.text.push(letter),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state after these keys, each a character: `⏎` is Enter, `⎋` Esc, `⌫` Backspace.
    fn after(keys: &str) -> ViewState {
        let mut view = ViewState::default();
        for key in keys.chars() {
            let code = match key {
                '⏎' => KeyCode::Enter,
                '⎋' => KeyCode::Esc,
                '⌫' => KeyCode::Backspace,
                key => KeyCode::Char(key),
            };
            view.press(KeyEvent::new(code, KeyModifiers::NONE));
        }
        view
    }

    #[test]
    fn keys_choose_the_order_and_the_window() {
        let table = [
            ("", Sort::Calls, Window::Interval),
            ("s", Sort::SelfTime, Window::Interval),
            ("stw", Sort::Total, Window::Start),
            ("nww", Sort::Name, Window::Interval),
            ("nc", Sort::Calls, Window::Interval),
        ];
        for (keys, sort, window) in table {
            let view = after(keys);
            assert_eq!((view.sort, view.window), (sort, window), "{keys}");
        }
    }

    #[test]
    fn letters_of_a_filter_text_are_not_commands() {
        let view = after("/sqh");
        assert_eq!(
            (&*view.filter.text, view.sort, view.quit_presses, view.shows_help),
            ("sqh", Sort::Calls, 0, false)
        );
        assert_eq!(after("/parse⌫⌫⏎s").filter.text, "par");
        assert_eq!(after("/parse⏎s").sort, Sort::SelfTime);
        assert_eq!(after("/old⏎/new⎋").filter.text, "old");
        assert_eq!(after("/old⏎⎋").filter.text, "");
    }

    #[test]
    fn keys_freeze_the_table_show_help_and_scroll() {
        assert!(after("p").is_paused && !after("pp").is_paused && !after("p ").is_paused);
        assert!(after("h").shows_help && after("?").shows_help && !after("hs").shows_help);
        assert_eq!(after("hs").sort, Sort::Calls, "the key only closes the list of keys");
        assert_eq!(after("jjk").scroll, 1);
        assert_eq!(after("kk").scroll, 0);
        assert_eq!(after("jj/x").scroll, 0, "a new filter resets the scroll position");
    }

    #[test]
    fn quit_keys_work_in_every_state() {
        assert_eq!((after("q").quit_presses, after("hq").quit_presses, after("qq").quit_presses), (1, 1, 2));
        let mut view = after("/abc");
        view.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!((view.quit_presses, &*view.filter.text), (1, "abc"));
        view.press(KeyEvent::new_with_kind(KeyCode::Char('c'), KeyModifiers::CONTROL, KeyEventKind::Release));
        assert_eq!(view.quit_presses, 1);
    }
}
