//! What the view shows, and what keys do to that.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::table::{Show, Sort, Window};

/// What the view shows.
#[derive(Debug, Default)]
pub struct View {
    /// What comes first.
    pub sort: Sort,
    /// Of which stretch of time.
    pub window: Window,
    /// Which functions.
    pub show: Show,
    /// What the filter was before somebody began to type another one.
    pub typing: Option<String>,
    /// Whether the picture stands still. Counting goes on.
    pub is_paused: bool,
    /// Whether the keys are explained.
    pub is_helping: bool,
    /// How many rows are above the first one.
    pub scroll: usize,
    /// How often the end was asked for.
    pub ends: usize,
}

/// The keys, as the view explains them.
pub const KEYS: [(&str, &str); 13] = [
    ("c", "the most entered first"),
    ("s", "the most time in the function itself first"),
    ("t", "the most time in it and in what it called first"),
    ("n", "by name"),
    ("w", "numbers of the last interval, or since the beginning"),
    ("/", "only functions whose name or file has a text in it"),
    ("Esc", "all functions again"),
    ("p, space", "hold the picture; counting goes on"),
    ("↑ ↓ j k", "scroll; PgUp, PgDn, Home"),
    ("h, ?", "this page"),
    ("q, Ctrl-C", "end; a program that pyrec started is sent SIGINT,"),
    ("", "and the second time left to itself"),
    ("", "any key goes back"),
];

/// A screenful, for scrolling.
const PAGE: usize = 15;

impl View {
    /// Does what a key says.
    pub fn key(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            self.ends += 1;
        } else if self.typing.is_some() {
            self.type_filter(key.code);
        } else if self.is_helping && key.code != KeyCode::Char('q') {
            self.is_helping = false;
        } else {
            self.command(key.code);
        }
    }

    fn command(&mut self, key: KeyCode) {
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
            KeyCode::Char('/') => self.typing = Some(std::mem::take(&mut self.show.text)),
            KeyCode::Esc => self.show.text.clear(),
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('h' | '?') => self.is_helping = true,
            KeyCode::Char('q') => self.ends += 1,
            KeyCode::Down | KeyCode::Char('j') => self.scroll += 1,
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll += PAGE,
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::Home => self.scroll = 0,
            _ => {}
        }
    }

    /// Each letter counts at once; Enter keeps the filter, Esc brings the one before back.
    fn type_filter(&mut self, key: KeyCode) {
        self.scroll = 0;
        match key {
            KeyCode::Enter => self.typing = None,
            KeyCode::Esc => self.show.text = self.typing.take().unwrap_or_default(),
            KeyCode::Backspace => drop(self.show.text.pop()),
            KeyCode::Char(letter) => self.show.text.push(letter),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    //! Keys, one after the other.

    use super::*;

    /// A view after these keys: a character each, `⏎` and `⎋` for Enter and Esc, `⌫` for backspace.
    fn after(keys: &str) -> View {
        let mut view = View::default();
        for key in keys.chars() {
            let code = match key {
                '⏎' => KeyCode::Enter,
                '⎋' => KeyCode::Esc,
                '⌫' => KeyCode::Backspace,
                key => KeyCode::Char(key),
            };
            view.key(KeyEvent::new(code, KeyModifiers::NONE));
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
    fn letters_of_a_filter_are_no_commands() {
        let view = after("/sqh");
        assert_eq!((&*view.show.text, view.sort, view.ends, view.is_helping), ("sqh", Sort::Calls, 0, false));
        assert_eq!(after("/parse⌫⌫⏎s").show.text, "par");
        assert_eq!(after("/parse⏎s").sort, Sort::SelfTime);
        assert_eq!(after("/old⏎/new⎋").show.text, "old");
        assert_eq!(after("/old⏎⎋").show.text, "");
    }

    #[test]
    fn pause_help_and_scrolling() {
        assert!(after("p").is_paused && !after("pp").is_paused && !after("p ").is_paused);
        assert!(after("h").is_helping && after("?").is_helping && !after("hs").is_helping);
        assert_eq!(after("hs").sort, Sort::Calls, "the key only goes back");
        assert_eq!(after("jjk").scroll, 1);
        assert_eq!(after("kk").scroll, 0);
        assert_eq!(after("jj/x").scroll, 0, "a filter begins at the top");
    }

    #[test]
    fn the_end_can_be_asked_for_from_anywhere() {
        assert_eq!((after("q").ends, after("hq").ends, after("qq").ends), (1, 1, 2));
        let mut view = after("/abc");
        view.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!((view.ends, &*view.show.text), (1, "abc"));
        view.key(KeyEvent::new_with_kind(KeyCode::Char('c'), KeyModifiers::CONTROL, KeyEventKind::Release));
        assert_eq!(view.ends, 1);
    }
}
