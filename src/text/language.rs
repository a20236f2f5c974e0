//! Which language a document is in, by whatlang: asked for few documents only, because it takes longer than classifying.

use crate::document::Document;

/// Bytes of a document that are looked at.
const MAX_BYTES: usize = 1000;

/// The document's language as its ISO 639-3 code, such as `eng`, by the beginning of its title and text; `None` when that
/// is too short, or mixed, to tell.
pub fn detect_language(document: &Document) -> Option<&'static str> {
    let beginning = |text: &str, n_bytes: usize| text[..text.floor_char_boundary(n_bytes)].to_owned();
    let title = beginning(document.title(), MAX_BYTES);
    let text = beginning(document.text(), MAX_BYTES - title.len());
    let detected = whatlang::detect(&format!("{title}\n{text}"))?;
    detected.is_reliable().then(|| detected.lang().code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_told_where_there_is_enough_of_it() {
        let language = |title: &str, text: &str| detect_language(&Document::new(title, text).unwrap());
        let german =
            "Die Außenminister der beiden Länder haben nach drei Tagen voller Gespräche einen Vertrag unterzeichnet.";
        assert_eq!(language("Gesandte unterzeichnen Waffenruhe", german), Some("deu"));
        assert_eq!(language("", &"Министры иностранных дел подписали договор. ".repeat(100)), Some("rus"));
        assert_eq!(language("", "外交部長們在三天的會談後簽署了和平條約。"), Some("cmn"));
        assert_eq!(language("", "OK"), None);
        assert_eq!(language("", "12 345 🎉"), None);
    }
}
