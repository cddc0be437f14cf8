//! Tables in Markdown, which can be read before they are rendered too.

/// A table of `rows`, the first of which is its head. All but the first column are aligned to the
/// right.
#[must_use]
pub fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut lines: Vec<_> = rows.iter().map(|row| line(row, &widths)).collect();
    let rule = |(column, width): (usize, &usize)| match column {
        0 => "-".repeat(width + 2),
        _ => "-".repeat(width + 1) + ":",
    };
    let rules: Vec<_> = widths.iter().enumerate().map(rule).collect();
    lines.insert(1.min(lines.len()), format!("|{}|\n", rules.join("|")));
    lines.concat()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cell = |(column, (text, &width)): (usize, (&String, &usize))| match column {
        0 => format!("| {text:width$} |"),
        _ => format!(" {text:>width$} |"),
    };
    row.iter().zip(widths).enumerate().map(cell).collect::<String>() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["server", "ms"], ["a", "1"], ["b", "1000"]];
        let rows = rows.map(|row| row.map(String::from).to_vec());
        let expected = "\
| server |   ms |
|--------|-----:|
| a      |    1 |
| b      | 1000 |
";
        assert_eq!(markdown(&rows), expected);
    }
}
