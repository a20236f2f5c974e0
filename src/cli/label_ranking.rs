//! The ranking of documents whose labels may be wrong, as rows to work through.

use std::io::{self, Write};

use serde::Serialize;

use crate::dataset::Dataset;
use crate::dataset::issues::{DocumentName, SuspectedMislabel};
use crate::evaluation::LabelRanking;

/// A row.
#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    name: DocumentName,
    topics: Vec<&'a str>,
    #[serde(flatten)]
    mislabel: SuspectedMislabel,
    is_suspected: bool,
}

/// Writes the ranking, one JSON object a line.
pub(super) fn write(out: &mut impl Write, dataset: &Dataset, ranking: &LabelRanking) -> io::Result<()> {
    let documents = dataset.documents();
    for (rank, label) in ranking.labels.iter().enumerate() {
        let topics = dataset.targets().of(label.document).iter();
        let row = Row {
            name: DocumentName::of(documents[label.document]),
            topics: topics.map(|&topic| dataset.topics()[topic as usize].as_str()).collect(),
            mislabel: SuspectedMislabel::of(label, dataset.topics()),
            is_suspected: rank < ranking.n_suspected,
        };
        serde_json::to_writer(&mut *out, &row)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
