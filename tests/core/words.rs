//! What words mean: the bundled table, models that learn with it, and tables that are none.

use std::sync::LazyLock;

use bytes::Bytes;
use topicd::abstention::{AbstainReason, Decision};
use topicd::artifact::{decode, encode};
use topicd::classifier::{Classifier, ClassifyOptions, ClassifyScratch};
use topicd::dataset::Dataset;
use topicd::document::{Document, LabeledDocument, Topic};
use topicd::explanation::Explain;
use topicd::training::{Difference, Silent, train, verify};
use topicd::training_config::TrainingConfig;
use topicd::words::{WordTable, WordTableError, bundled};

/// Made-up lines of four topics; no word of one stands in another.
const LINES: [(&str, [&str; 10]); 4] = [
    (
        "sport",
        [
            "the striker scored twice in the final",
            "goalkeeper saves a late penalty",
            "champion wins the tennis tournament",
            "coach resigns after third defeat",
            "cyclist takes the mountain stage",
            "the team lost the basketball match",
            "swimmer breaks a record at the olympics",
            "rugby captain injured before the cup",
            "a boxer defends his title",
            "athletes run the marathon",
        ],
    ),
    (
        "economy",
        [
            "the central bank raised interest rates",
            "shares fell on the stock market",
            "company reports falling profits",
            "inflation slows as prices drop",
            "merger of two insurers approved",
            "unemployment rises among workers",
            "investors sell government bonds",
            "the currency lost value",
            "exports grew despite tariffs",
            "retailer closes stores to cut costs",
        ],
    ),
    (
        "weather",
        [
            "a hurricane hits the coast",
            "heavy rain floods villages",
            "snow closes mountain roads",
            "drought dries up rivers",
            "storm warning with strong wind",
            "a heat wave breaks temperature records",
            "tornado destroys houses",
            "fog delays flights",
            "thunder and lightning over the hills",
            "frost damages vineyards",
        ],
    ),
    (
        "health",
        [
            "doctors warn of a new virus",
            "the hospital treats patients",
            "vaccine protects children from measles",
            "researchers test a cancer drug",
            "surgeons transplant a heart",
            "nurses care for the elderly",
            "an epidemic spreads in the capital",
            "diabetes is often diagnosed late",
            "therapy helps against depression",
            "infections rise in clinics",
        ],
    ),
];

fn dataset() -> Dataset {
    let examples = LINES.iter().flat_map(|(topic, lines)| {
        lines.iter().map(|line| {
            let document = Document::new("", *line).unwrap();
            LabeledDocument::new(document, vec![Topic::new(topic).unwrap()])
        })
    });
    Dataset::new(examples).unwrap()
}

fn trained(config: &TrainingConfig) -> Classifier {
    let classifier = train(&dataset(), config, Some(bundled().unwrap()), &Silent).unwrap().classifier;
    decode(encode(&classifier).into()).unwrap().classifier
}

static WITH_WORDS: LazyLock<Classifier> = LazyLock::new(|| trained(&TrainingConfig::default()));

fn best_topic(classifier: &Classifier, text: &str) -> (String, Decision) {
    let document = Document::new("", text).unwrap();
    let answer = classifier.classify(&document, &ClassifyOptions::default(), &mut ClassifyScratch::default());
    (classifier.topics()[answer.topics[0].topic].as_str().to_owned(), answer.decision)
}

#[test]
fn the_bundled_table_has_the_words_of_fourteen_languages() {
    let table = bundled().unwrap();
    let codes: Vec<&str> = table.card().languages.iter().map(|language| &*language.code).collect();
    assert_eq!(codes, ["en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "tr", "ar", "ja", "ko", "zh"]);
    for (place, language) in table.card().languages.iter().enumerate() {
        let n_words = (0..table.len()).filter(|&word| table.languages(word) >> place & 1 == 1).count();
        assert!(n_words >= if language.code == "en" { 60_000 } else { 20_000 }, "{n_words} words of {}", language.code);
    }
    // Each word is one token of our own tokenizer: as training and answering look it up.
    for word in (0..table.len()).map(|word| table.word(word)) {
        let (document, mut tokens) = (Document::new("", word).unwrap(), Vec::new());
        topicd::text::for_each_document_token(&document, &mut topicd::text::Scratch::default(), |token| {
            tokens.push(token.normalized.to_vec());
        });
        assert_eq!(tokens, [word.as_bytes()], "{word}");
    }
}

/// None of these words is in a training document.
#[test]
fn words_that_no_document_had_are_known_by_what_they_mean() {
    let classifier = &*WITH_WORDS;
    assert!(classifier.n_inferred_words() > 100_000);
    for (text, topic) in [
        ("midfielder signs for football club", "sport"),
        ("recession and debt worry economists", "economy"),
        ("blizzard and hail expected tomorrow", "weather"),
        ("physicians prescribe antibiotics", "health"),
        ("Torwart hält Elfmeter im Pokalfinale", "sport"),
        ("la inflación y los precios suben", "economy"),
        ("ураган и наводнение", "weather"),
        ("les médecins soignent la maladie", "health"),
    ] {
        assert_eq!(best_topic(classifier, text).0, topic, "{text}");
    }
    let without = trained(&TrainingConfig { words: false, ..TrainingConfig::default() });
    assert_eq!((without.n_inferred_words(), without.provenance().words_table.clone()), (0, None));
    assert!(without.provenance().evaluation.accuracy + 0.2 < classifier.provenance().evaluation.accuracy);
}

#[test]
fn explanations_add_up_and_tell_what_was_inferred() {
    let classifier = &*WITH_WORDS;
    let document = Document::new("Midfielder", "the striker scored; Torwart Torwart").unwrap();
    let options = ClassifyOptions { explain: Explain::ReturnedTopics, ..ClassifyOptions::default() };
    let answer = classifier.classify(&document, &options, &mut ClassifyScratch::default());
    for (explanation, score) in answer.explanations.iter().zip(&answer.topics) {
        let sum = explanation.bias + explanation.terms.iter().map(|term| term.contribution).sum::<f64>();
        assert!((sum + explanation.remainder - score.raw_score).abs() < 1e-5);
        let of = |name: &str| explanation.terms.iter().find(|term| term.term == name).unwrap();
        let inferred = of("torwart");
        assert!(inferred.is_inferred && inferred.inferred_contribution == inferred.contribution);
        assert_eq!((inferred.n_occurrences, inferred.spans.len()), (2, 2));
        let learned = of("striker");
        assert!(!learned.is_inferred && learned.inferred_contribution != 0.0);
        assert!(learned.inferred_contribution != learned.contribution);
    }
    let description = classifier.describe(2, 5);
    assert_eq!(description.nearest_words.len(), 20);
    assert!(description.terms_for.iter().all(|term| !term.term.is_empty()));
}

/// A language of the table is answered, one that it lacks is not.
#[test]
fn languages_are_told_by_their_words() {
    let known = "Der Torwart hat im Spiel gegen den Meister einen Elfmeter gehalten und die Mannschaft gewann.";
    assert_ne!(best_topic(&WITH_WORDS, known).1, Decision::Abstained(AbstainReason::OtherLanguage));
    assert_ne!(best_topic(&WITH_WORDS, known).1, Decision::Abstained(AbstainReason::FewKnownTokens));
    for unknown in [
        "Serikali imetangaza kwamba shule zitafungwa kwa wiki mbili kutokana na mvua kubwa.",
        "সরকার ঘোষণা করেছে যে ভারী বৃষ্টির কারণে স্কুল দুই সপ্তাহের জন্য বন্ধ থাকবে",
    ] {
        let (_, decision) = best_topic(&WITH_WORDS, unknown);
        let is_told =
            matches!(decision, Decision::Abstained(AbstainReason::OtherLanguage | AbstainReason::FewKnownTokens));
        assert!(is_told, "{unknown}: {decision:?}");
    }
}

#[test]
fn fewer_words_and_languages_make_a_smaller_model() {
    let kept = std::num::NonZeroUsize::new(2000);
    let config =
        TrainingConfig { words_kept: kept, words_languages: vec!["de".to_owned()], ..TrainingConfig::default() };
    let classifier = trained(&config);
    let card = classifier.known_words().unwrap().card();
    assert!(classifier.n_inferred_words() <= 2000 && card.languages[1].n_words > 1500, "{:?}", card.languages);
    assert!(encode(&classifier).len() < 300_000);
}

#[test]
fn training_again_gives_the_same_bytes_and_another_table_is_told() {
    let table = bundled().unwrap();
    let bytes = encode(&train(&dataset(), &TrainingConfig::default(), Some(table), &Silent).unwrap().classifier);
    let model = decode(bytes.into()).unwrap();
    assert_eq!(verify(&model, &dataset(), Some(table), &Silent).unwrap(), []);
    let differences = verify(&model, &dataset(), None, &Silent).unwrap();
    assert!(matches!(differences[0], Difference::WordsTable { here: None, .. }), "{differences:?}");
}

#[test]
fn damaged_tables_are_refused() {
    let file = include_bytes!("../../models/words/fourteen.words");
    let error = |file: Vec<u8>| WordTable::decode(Bytes::from(file)).map(|_| "a table").unwrap_err();
    assert!(matches!(error(b"TOPICD\r\nsomething else".to_vec()), WordTableError::Magic));
    assert!(matches!(error(file[..20].to_vec()), WordTableError::Length { actual: 20, .. }));
    assert!(matches!(error(file[..file.len() - 1].to_vec()), WordTableError::Length { .. }));
    let changed = |place: usize| {
        let mut file = file.to_vec();
        file[place] ^= 1;
        file
    };
    assert!(matches!(error(changed(8)), WordTableError::Version(0)));
    assert!(matches!(error(changed(file.len() / 2)), WordTableError::Checksum));
    // With the checksum that belongs to them.
    for place in [12, 16, 20, 41, 3000, file.len() / 2] {
        let mut file = changed(place);
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        hasher.update(&file[..32]);
        hasher.update(&file[40..]);
        file[32..40].copy_from_slice(&hasher.digest().to_le_bytes());
        // Refused, or another table; never a panic.
        if let Ok(table) = WordTable::decode(Bytes::from(file)) {
            let mut sum = vec![0.0; table.n_dimensions()];
            (0..table.len()).for_each(|word| table.add_vector(word, 1.0, &mut sum));
        }
    }
}
