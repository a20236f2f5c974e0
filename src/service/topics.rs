//! What a version knows about one of its topics, for callers.

use std::sync::Arc;

use super::classify::ClassifyService;
use super::error::Error;
use super::live::LiveVersion;
use super::model_name::{ModelName, VersionName};
use crate::document::Topic;
use crate::similar_names::similar_names;
use crate::topic_description::TopicDescription;

/// A checked question about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribeTopicCall {
    /// Which model is asked.
    pub model: ModelName,
    /// The topic.
    pub topic: Topic,
    /// Terms for it that are listed, and as many against it.
    pub max_terms: usize,
}

/// A topic as a version knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedTopic {
    /// The version that was asked.
    pub version: VersionName,
    /// What it knows.
    pub description: TopicDescription,
}

impl ClassifyService {
    /// Describes a topic. It looks at every term of the model, of which there may be millions, so the workers do it.
    ///
    /// # Errors
    /// The model or the topic is unknown, or too much is in flight.
    pub async fn describe_topic(&self, call: DescribeTopicCall) -> Result<DescribedTopic, Error> {
        let DescribeTopicCall { model, topic, max_terms } = call;
        let version = self.models.resolve(&model).await?;
        let admission = self.workers().admit(1)?;
        self.workers()
            .run(admission, move |is_awaited| is_awaited().then(|| describe(&version, &topic, max_terms)))
            .await?
    }
}

fn describe(version: &Arc<LiveVersion>, topic: &Topic, max_terms: usize) -> Result<DescribedTopic, Error> {
    let classifier = &version.classifier;
    let Ok(place) = classifier.topics().binary_search(topic) else {
        let similar = similar_names(classifier.topics().iter().map(Topic::as_str), topic.as_str())
            .into_iter()
            .map(ToString::to_string);
        let (version, topic) = (version.name.clone(), topic.to_string());
        return Err(Error::UnknownTopic { version, topic, similar: similar.collect() });
    };
    Ok(DescribedTopic { version: version.name.clone(), description: classifier.describe(place, max_terms) })
}
