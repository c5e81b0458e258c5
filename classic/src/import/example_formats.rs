//! Parsers for the output of the example scripts in CPython's documentation and in the
//! distributions' guides.
//!
//! ```text
//! 156641360518804⇥ function-entry: call_stack.py:function_1:1          call_stack.d
//! 11414 python(8274):         => __getitem__ in Lib/os.py:425          thread_indent
//! ```

use pyrec_schema::Marker;

use super::event::ParsedEvent;

/// Parses a line of DTrace's `call_stack.d`, `line.d` or `gc.d`. They print neither process nor
/// thread, so both are 0.
pub fn parse_dtrace(line: &str) -> Option<ParsedEvent<'_>> {
    let (time, rest) = line.split_once('\t')?;
    let (probe, arguments) = rest.split_once(':')?;
    let marker = Marker::from_name(&probe.trim_start().replace('-', "__"))?;
    let event = ParsedEvent::new(time.parse().ok()?, 0, 0, marker);
    with_arguments(event, arguments)
}

/// Parses a line of a script that uses SystemTap's `thread_indent`. The number in parentheses is
/// the thread's. Times are microseconds since the first line of that thread.
pub fn parse_thread_indent(line: &str) -> Option<ParsedEvent<'_>> {
    let (time, rest) = line.trim_start().split_once(' ')?;
    let time_ns = time.parse::<i64>().ok()?.checked_mul(1_000)?;
    let (name_and_thread, rest) = rest.split_once("): ").or_else(|| rest.split_once("):"))?;
    let thread = name_and_thread.rsplit_once('(')?.1.parse().ok()?;
    let text = rest.trim_start_matches(' ');
    let depth = rest.len() - text.len();
    let (marker, location) = if let Some(location) = text.strip_prefix("=> ") {
        (Marker::FunctionEntry, location)
    } else if let Some(location) = text.strip_prefix("<= ") {
        (Marker::FunctionReturn, location)
    } else {
        let (marker, arguments) = text.split_once(':')?;
        let event = ParsedEvent::new(time_ns, thread, thread, Marker::from_name(marker)?);
        return with_arguments(event, arguments);
    };
    let (location, line) = location.rsplit_once(':')?;
    let (name, file) = location.split_once(" in ")?;
    let line = line.parse::<i32>().ok()?.max(0);
    let event = ParsedEvent::new(time_ns, thread, thread, marker);
    Some(ParsedEvent { name, file, line, depth: Some(depth), ..event })
}

/// Adds the arguments that follow the marker: `FILE:FUNCTION:LINE` after one space per level, a
/// number, or a name.
fn with_arguments<'a>(event: ParsedEvent<'a>, arguments: &'a str) -> Option<ParsedEvent<'a>> {
    match event.marker {
        Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line => {
            let location = arguments.trim_start_matches(' ');
            let mut parts = location.rsplitn(3, ':');
            let (line, name, file) = (parts.next()?, parts.next()?, parts.next()?);
            let line = line.parse::<i32>().ok()?.max(0);
            let depth = (event.marker != Marker::Line).then_some(arguments.len() - location.len());
            Some(ParsedEvent { name, file, line, depth, ..event })
        }
        Marker::GcStart | Marker::GcDone => {
            Some(ParsedEvent { value: Some(arguments.parse().ok()?), ..event })
        }
        Marker::ImportDone => {
            let (name, found) = arguments.rsplit_once(':')?;
            Some(ParsedEvent { name, value: Some(found.parse().ok()?), ..event })
        }
        Marker::ImportStart | Marker::Audit => Some(ParsedEvent { name: arguments, ..event }),
        _ => None,
    }
}
