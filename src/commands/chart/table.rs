//! A table in a model's answer.

use serde_json::{Number, Value, json};

/// The answer holds no table, or one whose rows differ in length.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    #[error("the model's answer is no table: {answer:?}")]
    None { answer: String },
    #[error("the model's table is uneven: row {row} has {found} cells, the first has {expected}")]
    Uneven { row: usize, found: usize, expected: usize },
}

/// Rows of cells, all of the same length.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    header: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads the first table of an answer: neighbouring lines of cells between `|`. The row above
    /// a line of dashes is the header.
    pub(super) fn parse(answer: &str) -> Result<Self, TableError> {
        let lines = answer.lines().map(str::trim);
        let lines = lines.skip_while(|line| !line.contains('|')).take_while(|l| l.contains('|'));
        let mut rows: Vec<Vec<String>> = lines.map(cells).collect();
        let expected = rows.first().map_or(0, Vec::len);
        if expected < 2 {
            return Err(TableError::None { answer: answer.to_owned() });
        }
        if let Some(row) = rows.iter().position(|row| row.len() != expected) {
            let found = rows.get(row).map_or(0, Vec::len);
            return Err(TableError::Uneven { row: row + 1, found, expected });
        }
        let has_header = rows.get(1).is_some_and(|row| row.iter().all(|cell| is_rule(cell)));
        let header = has_header.then(|| rows.drain(..2).next()).flatten();
        Ok(Self { header, rows })
    }

    /// RFC 4180, lines ended by a newline alone.
    pub(super) fn to_csv(&self) -> String {
        let quote = |cell: &String| {
            if cell.contains(['"', ',', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell.clone()
            }
        };
        let line = |row: &Vec<String>| row.iter().map(quote).collect::<Vec<_>>().join(",") + "\n";
        self.header.iter().chain(&self.rows).map(line).collect()
    }

    /// A Markdown table. It must have a header there, so one without gets an empty one.
    pub(super) fn to_markdown(&self) -> String {
        let columns = self.header.iter().chain(&self.rows).next().map_or(0, Vec::len);
        let empty = vec![String::new(); columns];
        let rule = vec!["---".to_owned(); columns];
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let header = self.header.as_ref().unwrap_or(&empty);
        [header, &rule].into_iter().chain(&self.rows).map(line).collect()
    }

    /// An object with `image`, `header` and `rows`.
    pub(super) fn to_json(&self, image: &str) -> Value {
        let rows: Vec<Vec<Value>> =
            self.rows.iter().map(|row| row.iter().map(|cell| value(cell)).collect()).collect();
        json!({ "image": image, "header": self.header, "rows": rows })
    }
}

/// The cells of a line; `\|` stands for a bar in a cell.
fn cells(line: &str) -> Vec<String> {
    let line = line.strip_prefix('|').unwrap_or(line);
    let line = line.strip_suffix('|').filter(|rest| !rest.ends_with('\\')).unwrap_or(line);
    let mut cells = vec![String::new()];
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '|' {
            cells.push(String::new());
        } else if let Some(cell) = cells.last_mut() {
            let is_escape = letter == '\\' && letters.peek() == Some(&'|');
            cell.push(if is_escape { letters.next().unwrap_or(letter) } else { letter });
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// Whether a cell is of the line below a header, such as `:---`.
fn is_rule(cell: &str) -> bool {
    cell.contains('-') && cell.chars().all(|letter| matches!(letter, '-' | ':'))
}

/// A number where the cell is one as JSON writes it, so that nothing is lost; text elsewhere.
fn value(cell: &str) -> Value {
    let number = serde_json::from_str::<Number>(cell).ok().map(Value::Number);
    number.unwrap_or_else(|| Value::String(cell.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Table, TableError};
    use serde_json::json;

    #[test]
    fn rows_without_a_header_are_read() {
        let table = Table::parse("Apples | 12\nPears, green | 7.5\n").unwrap();
        assert_eq!(table.to_csv(), "Apples,12\n\"Pears, green\",7.5\n");
        assert_eq!(
            table.to_markdown(),
            "|  |  |\n| --- | --- |\n| Apples | 12 |\n| Pears, green | 7.5 |\n"
        );
        let expected = json!({"image": "a.png", "header": null, "rows": [["Apples", 12], ["Pears, green", 7.5]]});
        assert_eq!(table.to_json("a.png"), expected);
    }

    #[test]
    fn a_markdown_table_amid_words_is_read() {
        let answer = "Here it is:\n\n| Year | Share \\| % |\n|:---|---:|\n| 2019 | 12% |\n| 007 | -3 |\n\nDone | so";
        let table = Table::parse(answer).unwrap();
        assert_eq!(table.to_csv(), "Year,Share | %\n2019,12%\n007,-3\n");
        assert!(table.to_markdown().starts_with("| Year | Share \\| % |\n| --- | --- |\n"));
        let rows = &table.to_json("")["rows"];
        assert_eq!(rows, &json!([[2019, "12%"], ["007", -3]]));
    }

    #[test]
    fn what_is_no_table_is_an_error() {
        assert!(matches!(Table::parse("A cat."), Err(TableError::None { .. })));
        assert!(matches!(Table::parse("| alone |"), Err(TableError::None { .. })));
        let uneven = Table::parse("a | 1\nb | 2 | 3");
        assert!(matches!(uneven, Err(TableError::Uneven { row: 2, found: 3, expected: 2 })));
    }
}
