//! Pages that need nothing but a browser.

use super::output::clean;

/// A page: a heading, a sentence, and sections with a table each.
#[derive(Debug)]
pub(super) struct HtmlPage(String);

impl HtmlPage {
    pub(super) fn new(heading: &str, sentence: &str) -> Self {
        Self(format!(
            "<h1>{}</h1>\n<p>{}</p>\n",
            escaped(heading),
            escaped(sentence)
        ))
    }

    /// Adds a table under a heading; only the heading where there are no rows.
    pub(super) fn section<const N: usize>(
        &mut self,
        heading: &str,
        names: [&str; N],
        rows: &[[String; N]],
    ) {
        let body = &mut self.0;
        body.push_str(&format!("<h2>{} ({})</h2>\n", escaped(heading), rows.len()));
        if rows.is_empty() {
            return;
        }
        body.push_str("<table><tr>");
        for name in names {
            body.push_str(&format!("<th>{}</th>", escaped(name)));
        }
        body.push_str("</tr>\n");
        for row in rows {
            body.push_str("<tr>");
            for cell in row {
                body.push_str(&format!("<td>{}</td>", escaped(cell)));
            }
            body.push_str("</tr>\n");
        }
        body.push_str("</table>\n");
    }

    pub(super) fn finish(self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>Portcullis</title><style>body{{font:15px system-ui;margin:2em}}\
             table{{border-collapse:collapse}}td,th{{border:1px solid #ccc;padding:.3em .6em;\
             text-align:left}}</style></head><body>\n{}</body></html>",
            self.0
        )
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
