//! Whether a model file is what training makes of given documents: trained again, and compared to the byte.

use super::error::TrainError;
use super::progress::Progress;
use super::train::{RECIPE, dataset_hash, train};
use crate::artifact::{self, Artifact};
use crate::classifier::Provenance;
use crate::dataset::Dataset;
use crate::words::WordTable;

/// One thing in which a model differs from the one that training makes now.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Difference {
    /// Another release of the program trained it; a release may train in another way.
    #[error("the model was trained by topicd {model}, and this is topicd {here}")]
    SoftwareVersion {
        /// The model's.
        model: String,
        /// This program's.
        here: String,
    },
    /// Another way of training made it.
    #[error(
        "the model was trained by recipe {model}, and this topicd trains by recipe {here}: other bytes are to be expected"
    )]
    Recipe {
        /// The model's; 0: of the time before recipes were counted.
        model: u32,
        /// This program's.
        here: u32,
    },
    /// It was trained with another table of words, or without one.
    #[error("the model was trained with {}, and here is {}", table(model), table(here))]
    WordsTable {
        /// The checksum of the model's, if there was one.
        model: Option<String>,
        /// The checksum of the one given now, if there is one.
        here: Option<String>,
    },
    /// It was trained on other documents, or on the same ones with other topics.
    #[error(
        "the documents are others: the model was trained on {n_model} with the dataset hash {model}, and these are {n_here} \
         with {here}{}", of_held_out(*n_held_out_model, *n_held_out_here)
    )]
    Documents {
        /// The hash of the model's documents.
        model: String,
        /// How many they were.
        n_model: usize,
        /// The hash of these.
        here: String,
        /// How many there are.
        n_here: usize,
        /// How many documents were held out beside the model's.
        n_held_out_model: usize,
        /// How many are beside these.
        n_held_out_here: usize,
    },
    /// Cross-validation found another C.
    #[error("the model's C is {model}, and training again found {here}")]
    C {
        /// The model's.
        model: f32,
        /// The one found now.
        here: f32,
    },
    /// Another number of terms.
    #[error("the model has {model} terms, and training again gave {here}")]
    Terms {
        /// The model's.
        model: usize,
        /// The number now.
        here: usize,
    },
    /// None of these, but other bytes.
    #[error(
        "the bytes differ from byte {offset} on (counted from 0): the model has {n_model}, training again gave {n_here}"
    )]
    Bytes {
        /// Of the first byte that differs.
        offset: usize,
        /// The length of the model's file.
        n_model: usize,
        /// The length of the one made now.
        n_here: usize,
    },
}

fn table(checksum: &Option<String>) -> String {
    checksum.as_ref().map_or("no table of words".to_owned(), |checksum| format!("the table of words {checksum}"))
}

/// How many documents are held out; nothing to be said if none is, then and now.
fn of_held_out(model: usize, here: usize) -> String {
    if model + here == 0 { String::new() } else { format!("; beside them {model} were held out, and here {here} are") }
}

/// Trains again with the configuration that a model remembers, on a dataset that was made with it
/// ([`crate::training_config::TrainingConfig::dataset_options`]); what differs, nothing if the bytes are the same.
/// With other documents it doesn't train: all else would differ because of them.
///
/// # Errors
/// [`TrainError`]; cancelling is one.
pub fn verify(
    model: &Artifact,
    dataset: &Dataset,
    words: Option<&WordTable>,
    progress: &dyn Progress,
) -> Result<Vec<Difference>, TrainError> {
    let of_model = model.classifier.provenance();
    let mut differences = Vec::new();
    let here = env!("CARGO_PKG_VERSION");
    if of_model.software_version != here {
        let model = of_model.software_version.clone();
        differences.push(Difference::SoftwareVersion { model, here: here.to_owned() });
    }
    let hash = dataset_hash(dataset);
    if of_model.dataset_hash != hash {
        let (model, n_model) = (of_model.dataset_hash.clone(), of_model.n_documents);
        let n_here = dataset.targets().n_documents();
        let (n_held_out_model, n_held_out_here) = (of_model.n_held_out, dataset.held_out().len());
        let here = hash;
        let documents = Difference::Documents { model, n_model, here, n_here, n_held_out_model, n_held_out_here };
        differences.push(documents);
        return Ok(differences);
    }
    if of_model.recipe != RECIPE {
        differences.push(Difference::Recipe { model: of_model.recipe, here: RECIPE });
    }
    let table = words.filter(|_| of_model.config.words).map(|table| format!("{:016x}", table.checksum()));
    if of_model.words_table != table {
        differences.push(Difference::WordsTable { model: of_model.words_table.clone(), here: table });
    }
    let again = train(dataset, &of_model.config, words, progress)?.classifier;
    let bytes = artifact::encode(&again);
    if bytes[..] == model.bytes[..] {
        return Ok(Vec::new());
    }
    let n_terms = (model.classifier.n_terms(), again.n_terms());
    differences.extend(differences_within(of_model, again.provenance(), n_terms));
    if differences.is_empty() {
        let offset = bytes.iter().zip(&model.bytes).take_while(|(here, model)| here == model).count();
        differences.push(Difference::Bytes { offset, n_model: model.bytes.len(), n_here: bytes.len() });
    }
    Ok(differences)
}

/// What differs in trainings on the same documents with the same configuration.
fn differences_within(model: &Provenance, here: &Provenance, n_terms: (usize, usize)) -> Vec<Difference> {
    let mut differences = Vec::new();
    if model.c.to_bits() != here.c.to_bits() {
        differences.push(Difference::C { model: model.c, here: here.c });
    }
    if n_terms.0 != n_terms.1 {
        differences.push(Difference::Terms { model: n_terms.0, here: n_terms.1 });
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, LabeledDocument, Topic};
    use crate::training::Silent;
    use crate::training_config::TrainingConfig;

    fn examples(n_documents: usize) -> Vec<LabeledDocument> {
        let example = |i: usize| {
            let (topic, words) =
                if i.is_multiple_of(2) { ("war", "tanks shelled") } else { ("sport", "striker scored") };
            let document = Document::new(format!("report {i}"), format!("{words} near town {}", i % 7)).unwrap();
            LabeledDocument::new(document, vec![Topic::new(topic).unwrap()])
        };
        (0..n_documents).map(example).collect()
    }

    fn dataset(n_documents: usize) -> Dataset {
        Dataset::new(examples(n_documents)).unwrap()
    }

    fn trained_on(dataset: &Dataset, config: &TrainingConfig) -> Artifact {
        artifact::decode(artifact::encode(&train(dataset, config, None, &Silent).unwrap().classifier).into()).unwrap()
    }

    fn trained(config: &TrainingConfig) -> Artifact {
        trained_on(&dataset(40), config)
    }

    /// What is said of a model after a change of what it remembers.
    fn differences(change: impl FnOnce(&mut Provenance)) -> Vec<Difference> {
        let mut classifier = trained(&TrainingConfig::default()).classifier;
        change(&mut classifier.provenance);
        let changed = artifact::decode(artifact::encode(&classifier).into()).unwrap();
        verify(&changed, &dataset(40), None, &Silent).unwrap()
    }

    #[test]
    fn the_same_documents_and_settings_give_the_same_bytes() {
        let config = TrainingConfig { c: Some(0.5), seed: 3, ..TrainingConfig::default() };
        assert_eq!(verify(&trained(&config), &dataset(40), None, &Silent).unwrap(), []);
    }

    /// Which documents are held out is told by the documents and the model's settings together.
    #[test]
    fn held_out_documents_are_verified_too() {
        let config = TrainingConfig { held_out_share: 0.2, ..TrainingConfig::default() };
        let of = |examples: Vec<LabeledDocument>| Dataset::with_options(examples, config.dataset_options()).unwrap();
        let dataset = of(examples(80));
        let model = trained_on(&dataset, &config);
        assert_eq!(verify(&model, &dataset, None, &Silent).unwrap(), []);
        let without = Dataset::new(examples(80)).unwrap();
        let differences = verify(&model, &without, None, &Silent).unwrap();
        assert!(matches!(differences[..], [Difference::Documents { n_here: 80, n_held_out_here: 0, .. }]));
        assert!(differences[0].to_string().ends_with(" were held out, and here 0 are"), "{}", differences[0]);
        // The same training documents, and another label of a held-out one.
        let held_out = dataset.held_out()[0].document.clone();
        let topic = Topic::new("another").unwrap();
        let relabelled = examples(80).into_iter().chain([LabeledDocument::new(held_out, vec![topic])]);
        let differences = verify(&model, &of(relabelled.collect()), None, &Silent).unwrap();
        assert!(matches!(differences[..], [Difference::Documents { .. }]), "{differences:?}");
    }

    #[test]
    fn what_differs_is_named() {
        assert_eq!(differences(|_| {}), []);
        let of_other_release = differences(|provenance| provenance.software_version = "0.0.1".to_owned());
        let here = env!("CARGO_PKG_VERSION").to_owned();
        assert_eq!(of_other_release, [Difference::SoftwareVersion { model: "0.0.1".to_owned(), here }]);
        assert!(matches!(differences(|provenance| provenance.c += 1.0)[..], [Difference::C { .. }]));
        let forged = differences(|provenance| provenance.evaluation.accuracy = 0.5);
        assert!(matches!(forged[..], [Difference::Bytes { .. }]), "{forged:?}");
        let recipe = differences(|provenance| provenance.recipe = 0);
        assert!(matches!(recipe[0], Difference::Recipe { model: 0, here: RECIPE }), "{recipe:?}");
        let table = differences(|provenance| provenance.words_table = Some("00ff".to_owned()));
        let said = "the model was trained with the table of words 00ff, and here is no table of words";
        assert_eq!(table[0].to_string(), said);
        let documents = verify(&trained(&TrainingConfig::default()), &dataset(42), None, &Silent).unwrap();
        assert!(matches!(documents[..], [Difference::Documents { n_model: 40, n_here: 42, .. }]), "{documents:?}");
        // Trained with more terms than the settings that it remembers allow.
        let terms = differences(|provenance| provenance.config.max_features = std::num::NonZeroUsize::new(3));
        assert!(terms.iter().any(|difference| matches!(difference, Difference::Terms { here: 3, .. })), "{terms:?}");
    }
}
