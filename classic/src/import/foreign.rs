//! Lines of the scripts that CPython's documentation and the distributions' guides teach.
//!
//! ```text
//! 156641360518804⇥ function-entry: call_stack.py:function_1:1          call_stack.d
//! 11414 python(8274):         => __getitem__ in Lib/os.py:425          thread_indent
//! ```

use pyrec_schema::Marker;

use super::line::Said;

/// DTrace's `call_stack.d`, `line.d` and `gc.d`: nobody says in which process or thread, so both are 0.
pub fn dtrace(line: &str) -> Option<Said<'_>> {
    let (time, rest) = line.split_once('\t')?;
    let (probe, arguments) = rest.split_once(':')?;
    let marker = Marker::from_name(&probe.trim_start().replace('-', "__"))?;
    let said = Said::new(time.parse().ok()?, 0, 0, marker);
    arguments_of(said, arguments)
}

/// SystemTap's `thread_indent`: the number is the thread's, and microseconds are counted from its own first line.
pub fn thread_indent(line: &str) -> Option<Said<'_>> {
    let (time, rest) = line.trim_start().split_once(' ')?;
    let time_ns = time.parse::<i64>().ok()?.checked_mul(1_000)?;
    let (name_and_thread, rest) = rest.split_once("): ").or_else(|| rest.split_once("):"))?;
    let thread = name_and_thread.rsplit_once('(')?.1.parse().ok()?;
    let event = rest.trim_start_matches(' ');
    let level = rest.len() - event.len();
    let (marker, place) = if let Some(place) = event.strip_prefix("=> ") {
        (Marker::FunctionEntry, place)
    } else if let Some(place) = event.strip_prefix("<= ") {
        (Marker::FunctionReturn, place)
    } else {
        let (marker, arguments) = event.split_once(':')?;
        let said = Said::new(time_ns, thread, thread, Marker::from_name(marker)?);
        return arguments_of(said, arguments);
    };
    let (place, line) = place.rsplit_once(':')?;
    let (name, file) = place.split_once(" in ")?;
    let line = line.parse::<i32>().ok()?.max(0);
    let said = Said::new(time_ns, thread, thread, marker);
    Some(Said { name, file, line, level: Some(level), ..said })
}

/// `FILE:FUNCTION:LINE` after one space per level, a number, or a name.
fn arguments_of<'a>(said: Said<'a>, arguments: &'a str) -> Option<Said<'a>> {
    match said.marker {
        Marker::FunctionEntry | Marker::FunctionReturn | Marker::Line => {
            let place = arguments.trim_start_matches(' ');
            let mut parts = place.rsplitn(3, ':');
            let (line, name, file) = (parts.next()?, parts.next()?, parts.next()?);
            let line = line.parse::<i32>().ok()?.max(0);
            let level = (said.marker != Marker::Line).then_some(arguments.len() - place.len());
            Some(Said { name, file, line, level, ..said })
        }
        Marker::GcStart | Marker::GcDone => Some(Said { value: Some(arguments.parse().ok()?), ..said }),
        Marker::ImportDone => {
            let (name, found) = arguments.rsplit_once(':')?;
            Some(Said { name, value: Some(found.parse().ok()?), ..said })
        }
        Marker::ImportStart | Marker::Audit => Some(Said { name: arguments, ..said }),
        _ => None,
    }
}
