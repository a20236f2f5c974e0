//! Requests of the Open Inference Protocol → calls: tensors of texts become a batch of documents.

use std::collections::HashMap;

use super::inference_pb::infer_parameter::ParameterChoice;
use super::inference_pb::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use super::inference_pb::{InferParameter, ModelInferRequest};
use super::pb;
use super::request::batch_call;
use super::violations::Violations;
use crate::config::Limits;
use crate::names::{ClassifierName, excerpt};
use crate::service::{BatchCall, Error, ModelName};

/// The type of texts.
pub const BYTES: &str = "BYTES";
/// The input that there must be.
pub const TEXT: &str = "text";
/// The input that there may be.
pub const TITLE: &str = "title";
/// Dimensions of a wrong shape that are repeated.
const MAX_DIMENSIONS: usize = 8;
/// The parameter that there may be.
const TRUNCATE: &str = "truncate";
/// The parameter that an input with raw contents may have: their length, which KServe's client tells.
const RAW_BYTES: &str = "binary_data_size";

/// What a version says of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The most probable topic of each.
    Topic,
    /// Its probability.
    Probability,
    /// Whether topics are assigned, or why not.
    Decision,
    /// All topics of each, by falling probability.
    Topics,
    /// Their probabilities.
    Probabilities,
    /// Whether they are assigned.
    Assigned,
}

impl Output {
    /// All of them, in the order in which they are answered.
    pub const ALL: [Self; 6] =
        [Self::Topic, Self::Probability, Self::Decision, Self::Topics, Self::Probabilities, Self::Assigned];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Probability => "probability",
            Self::Decision => "decision",
            Self::Topics => "topics",
            Self::Probabilities => "probabilities",
            Self::Assigned => "assigned",
        }
    }

    /// Its type, as the protocol calls it.
    pub fn datatype(self) -> &'static str {
        match self {
            Self::Topic | Self::Decision | Self::Topics => BYTES,
            Self::Probability | Self::Probabilities => "FP64",
            Self::Assigned => "BOOL",
        }
    }

    /// Whether it has an element for each topic of a document, not only one.
    pub fn is_of_topics(self) -> bool {
        matches!(self, Self::Topics | Self::Probabilities | Self::Assigned)
    }
}

/// A checked request.
#[derive(Debug, Clone, PartialEq)]
pub struct InferCall {
    /// The documents.
    pub batch: BatchCall,
    /// What is to be answered.
    pub outputs: Vec<Output>,
    /// Whether as raw bytes.
    pub is_raw: bool,
    /// The caller's name for the call.
    pub id: String,
}

/// Reads which version is meant.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn model_name(name: &str, version: &str) -> Result<ModelName, Error> {
    let mut violations = Violations::default();
    let model = check_model(&mut violations, ["name", "version"], name, version);
    model.ok_or_else(|| violations.into_error())
}

/// Checks a request.
///
/// # Errors
/// [`Error::InvalidRequest`] with every field that is wrong.
pub fn infer_call(request: ModelInferRequest, limits: &Limits) -> Result<InferCall, Error> {
    let ModelInferRequest { model_name, model_version, id, parameters, inputs, outputs, raw_input_contents } = request;
    let mut violations = Violations::default();
    let model = check_model(&mut violations, ["model_name", "model_version"], &model_name, &model_version);
    let is_truncation = check_parameters(&mut violations, &parameters);
    let is_raw = !raw_input_contents.is_empty();
    let texts = Texts::read(&mut violations, inputs, raw_input_contents, limits);
    let outputs = check_outputs(&mut violations, outputs);
    let (Some(model), Some(texts)) = (model, texts.filter(|_| violations.is_empty())) else {
        return Err(violations.into_error());
    };
    let truncation = if is_truncation { pb::Truncation::End } else { pb::Truncation::Unspecified };
    let batch = pb::BatchClassifyRequest {
        model: model.to_string(),
        documents: texts.into_documents(),
        options: Some(pb::ClassifyOptions { truncation: truncation.into(), ..Default::default() }),
    };
    Ok(InferCall { batch: batch_call(batch, limits)?, outputs, is_raw, id })
}

fn check_model(violations: &mut Violations, fields: [&str; 2], name: &str, version: &str) -> Option<ModelName> {
    let [name_field, version_field] = fields;
    let classifier = match name.parse::<ClassifierName>() {
        Ok(classifier) => classifier,
        Err(error) => {
            violations.add(name_field, "INVALID_NAME", format!("is no model: {error}"));
            return None;
        }
    };
    let path = if version.is_empty() { classifier.to_string() } else { format!("{classifier}/versions/{version}") };
    match path.parse() {
        Ok(model) => Some(model),
        Err(_) => {
            let description = "is no version; write a number, stable, previous, candidate or latest, or leave it out";
            violations.add(version_field, "INVALID_VERSION", description.to_owned());
            None
        }
    }
}

fn check_parameters(violations: &mut Violations, parameters: &HashMap<String, InferParameter>) -> bool {
    let mut is_truncation = false;
    for (name, value) in sorted(parameters) {
        match (name.as_str(), &value.parameter_choice) {
            (TRUNCATE, Some(ParameterChoice::BoolParam(truncate))) => is_truncation = *truncate,
            (TRUNCATE, _) => {
                let description = "isn't a bool; give true or false as bool_param".to_owned();
                violations.add(format_args!("parameters[{name:?}]"), "INVALID_TYPE", description);
            }
            _ => unknown_parameter(violations, "parameters", name, "the one that there is is truncate"),
        }
    }
    is_truncation
}

/// In the order of their names: the same request has the same errors.
fn sorted(parameters: &HashMap<String, InferParameter>) -> Vec<(&String, &InferParameter)> {
    let mut parameters: Vec<_> = parameters.iter().collect();
    parameters.sort_by_key(|(name, _)| *name);
    parameters
}

fn unknown_parameter(violations: &mut Violations, parameters: &str, name: &str, known: &str) {
    let field = format_args!("{parameters}[{:?}]", excerpt(name));
    violations.add(field, "UNKNOWN_PARAMETER", format!("isn't a parameter of this server; {known}"));
}

fn check_outputs(violations: &mut Violations, wanted: Vec<InferRequestedOutputTensor>) -> Vec<Output> {
    if wanted.is_empty() {
        return Output::ALL.to_vec();
    }
    let mut outputs = Vec::new();
    for (index, InferRequestedOutputTensor { name, parameters }) in wanted.into_iter().enumerate() {
        match Output::ALL.into_iter().find(|output| output.name() == name) {
            Some(output) if outputs.contains(&output) => {
                let description = "is there once more; ask for each output once".to_owned();
                violations.add(format_args!("outputs[{index}].name"), "REPEATED", description);
            }
            Some(output) => outputs.push(output),
            None => {
                let names = Output::ALL.map(Output::name).join(", ");
                let description = format!("is no output; these are: {names}");
                violations.add(format_args!("outputs[{index}].name"), "UNKNOWN_OUTPUT", description);
            }
        }
        for (name, _) in sorted(&parameters) {
            unknown_parameter(violations, &format!("outputs[{index}].parameters"), name, "outputs have none");
        }
    }
    outputs
}

/// The texts of a request's documents.
#[derive(Debug, Default)]
struct Texts {
    texts: Option<Vec<String>>,
    titles: Option<Vec<String>>,
}

impl Texts {
    /// Reads the inputs; `None` if anything is wrong.
    fn read(
        violations: &mut Violations,
        inputs: Vec<InferInputTensor>,
        raw: Vec<bytes::Bytes>,
        limits: &Limits,
    ) -> Option<Self> {
        if !raw.is_empty() && raw.len() != inputs.len() {
            let description = format!("has {} entries for {} inputs; give one for each", raw.len(), inputs.len());
            violations.add("raw_input_contents", "WRONG_NUMBER", description);
            return None;
        }
        let mut raw = raw.into_iter();
        let mut read = Self::default();
        for (index, input) in inputs.into_iter().enumerate() {
            let name = input.name.clone();
            let elements = check_input(violations, index, input, raw.next(), limits);
            let place = match name.as_str() {
                TEXT => &mut read.texts,
                TITLE => &mut read.titles,
                _ => {
                    let description = format!("is no input; the inputs are {TEXT} and {TITLE}");
                    violations.add(format_args!("inputs[{index}].name"), "UNKNOWN_INPUT", description);
                    continue;
                }
            };
            if place.is_some() {
                let description = "is there once more; give each input once".to_owned();
                violations.add(format_args!("inputs[{index}].name"), "REPEATED", description);
            }
            *place = elements;
        }
        read.check(violations)
    }

    fn check(self, violations: &mut Violations) -> Option<Self> {
        if !violations.is_empty() {
            return None;
        }
        match (&self.texts, &self.titles) {
            (None, None) => {
                violations.add("inputs", "REQUIRED", format!("lacks {TEXT}; give it as BYTES"));
                None
            }
            (Some(texts), Some(titles)) if texts.len() != titles.len() => {
                let description =
                    format!("has {} texts and {} titles; give as many of both", texts.len(), titles.len());
                violations.add("inputs", "WRONG_NUMBER", description);
                None
            }
            _ => Some(self),
        }
    }

    fn into_documents(self) -> Vec<pb::Document> {
        let n = self.texts.as_ref().or(self.titles.as_ref()).map_or(0, Vec::len);
        let mut texts = self.texts.into_iter().flatten();
        let mut titles = self.titles.into_iter().flatten();
        let mut document = |_| pb::Document {
            title: titles.next().unwrap_or_default(),
            text: texts.next().unwrap_or_default(),
            ..Default::default()
        };
        (0..n).map(&mut document).collect()
    }
}

/// Reads an input's elements.
fn check_input(
    violations: &mut Violations,
    index: usize,
    input: InferInputTensor,
    raw: Option<bytes::Bytes>,
    limits: &Limits,
) -> Option<Vec<String>> {
    let max_elements = limits.max_batch_documents.get() as usize;
    let InferInputTensor { datatype, shape, parameters, contents, .. } = input;
    let place = format!("inputs[{index}].parameters");
    for (name, value) in sorted(&parameters) {
        let n_bytes = raw.as_ref().and_then(|raw| i64::try_from(raw.len()).ok());
        match (name.as_str(), &value.parameter_choice, n_bytes) {
            (RAW_BYTES, Some(ParameterChoice::Int64Param(told)), Some(n_bytes)) if *told == n_bytes => {}
            (RAW_BYTES, _, _) => {
                let description =
                    "isn't how many bytes raw_input_contents has for it; leave it out, or tell that".to_owned();
                violations.add(format_args!("{place}[{name:?}]"), "WRONG_NUMBER", description);
            }
            _ => unknown_parameter(violations, &place, name, "the one that inputs may have is binary_data_size"),
        }
    }
    if datatype != BYTES {
        let description = format!("is {:?}; texts are of type {BYTES}", excerpt(&datatype));
        violations.add(format_args!("inputs[{index}].datatype"), "INVALID_TYPE", description);
        return None;
    }
    let (elements, field) = match (raw, contents) {
        (Some(_), Some(_)) => {
            let description = "is there besides raw_input_contents; give one of both".to_owned();
            violations.add(format_args!("inputs[{index}].contents"), "REPEATED", description);
            return None;
        }
        (Some(raw), None) => (split_raw(&raw, max_elements + 1), format!("raw_input_contents[{index}]")),
        (None, contents) => {
            let contents = contents.unwrap_or_default().bytes_contents;
            let elements = contents.into_iter().take(max_elements + 1);
            (Some(elements.map(Vec::from).collect()), format!("inputs[{index}].contents.bytes_contents"))
        }
    };
    let Some(elements) = elements else {
        let description = "isn't elements of 4 bytes of length, little-endian, and as many bytes each".to_owned();
        violations.add(field, "INVALID_CONTENTS", description);
        return None;
    };
    if elements.len() > max_elements {
        let description =
            format!("has more elements than a batch may have documents, {max_elements}; send several calls");
        violations.add(field, "TOO_MANY", description);
        return None;
    }
    let is_fitting = matches!(*shape, [n] | [n, 1] if usize::try_from(n) == Ok(elements.len()));
    if !is_fitting {
        let seen = match shape.get(MAX_DIMENSIONS..) {
            Some([_, ..]) => format!("has {} dimensions", shape.len()),
            _ => format!("is {shape:?}"),
        };
        let description = format!("{seen} for {} elements; give [n] or [n, 1]", elements.len());
        violations.add(format_args!("inputs[{index}].shape"), "WRONG_SHAPE", description);
    }
    let mut texts = Vec::with_capacity(elements.len());
    for (place, element) in elements.into_iter().enumerate() {
        match String::from_utf8(element) {
            Ok(text) => texts.push(text),
            Err(_) => {
                let description = format!("has an element, {place}, that isn't UTF-8");
                violations.add(&field, "NOT_UTF8", description);
                return None;
            }
        }
    }
    Some(texts)
}

/// The first elements of a BYTES tensor, `max_elements` at most: of each its length in 4 bytes, little-endian, and its bytes.
fn split_raw(mut raw: &[u8], max_elements: usize) -> Option<Vec<Vec<u8>>> {
    let mut elements = Vec::new();
    while !raw.is_empty() && elements.len() < max_elements {
        let (length, rest) = raw.split_first_chunk()?;
        let (element, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        elements.push(element.to_vec());
        raw = rest;
    }
    Some(elements)
}
