namespace Peft.Synthetic

open Peft

/// One instruction with its answer, and the family of tasks that it comes from.
type Instruction =
    {
        Family: string
        Input: string
        Target: string
    }

/// Instruction pairs to pretrain on, from many small families of tasks. The embedded tasks are held out: no family asks for
/// a news topic, for a judgement on a sentence, for a museum from its attributes or for a summary of a dialogue, nor for what
/// the eight further tasks of the suite ask.
[<RequireQualifiedAccess>]
module Instructions =
    // How often a family comes beside the others, and how its rows are made. To answer with one of the given options carries
    // over to every labelled task, so that such families come most often.
    let private makers: (int * string * (Chance -> string * string))[] =
        [|
            // Options named anew in each row.
            6, "named option", OptionInstructions.named
            2, "option by place", OptionInstructions.placed
            6, "field", OptionInstructions.field
            4, "coded labels", OptionInstructions.coded
            3, "labelled examples", OptionInstructions.shown
            3, "related word", OptionInstructions.related
            2, "word of a topic", OptionInstructions.topical
            4, "open choice", OptionInstructions.open'
            // What the words of label sets mean.
            4, "kind of a phrase", MeaningInstructions.phraseKind
            2, "phrase of a kind", MeaningInstructions.phraseOf
            2, "fitting answer", MeaningInstructions.fitting
            2, "kinder remark", MeaningInstructions.kinder
            2, "opinions compared", MeaningInstructions.agreement
            4, "field of a word", MeaningInstructions.fieldOfWord
            // What is well formed.
            5, "better sentence", GrammarInstructions.better
            4, "wrong word", GrammarInstructions.wrongWord
            3, "form for a gap", GrammarInstructions.form
            3, "word order of a sentence", GrammarInstructions.order
            3, "correction", GrammarInstructions.correction
            // Two texts compared.
            4, "inference", InferenceInstructions.inference
            3, "paraphrase", InferenceInstructions.paraphrase
            2, "rewording", InferenceInstructions.reword
            // Records and retelling.
            6, "record to text", RecordInstructions.describe
            2, "value of a record", RecordInstructions.find
            1, "text to record", RecordInstructions.record
            3, "reported speech", RetellingInstructions.reported
            3, "gist", RetellingInstructions.gist
            1, "viewpoint", RetellingInstructions.viewpoint
            // Choices.
            2, "membership", ChoiceInstructions.membership
            1, "which is", ChoiceInstructions.whichIs
            2, "kind of thing", ChoiceInstructions.kindOf
            3, "sentiment", ChoiceInstructions.sentiment
            1, "name the tense", ChoiceInstructions.tense
            1, "same meaning", ChoiceInstructions.sameMeaning
            1, "larger number", ChoiceInstructions.larger
            // Words, letters and numbers.
            1, "reverse", WordInstructions.reverse
            1, "plural", WordInstructions.plural
            1, "singular", WordInstructions.singular
            1, "opposite", WordInstructions.opposite
            1, "count words", WordInstructions.countWords
            1, "spelling", WordInstructions.spelling
            1, "digits", WordInstructions.digits
            1, "number words", WordInstructions.numberWords
            1, "addition", WordInstructions.addition
            1, "nth word", WordInstructions.nth
            1, "alphabet", WordInstructions.alphabet
            // Sentences.
            1, "copy", SentenceInstructions.copy
            1, "past tense", SentenceInstructions.pastTense
            1, "word order", SentenceInstructions.ordering
            1, "pronoun", SentenceInstructions.pronoun
            1, "negation", SentenceInstructions.negation
            1, "question", SentenceInstructions.toQuestion
            1, "joining", WordInstructions.joining
            // Short texts and passages.
            3, "reading", TextInstructions.reading
            1, "fields", TextInstructions.fields
            1, "completion", TextInstructions.completion
            1, "gap", TextInstructions.gap
            2, "title", TextInstructions.title
            1, "extraction", TextInstructions.extraction
            1, "speaker", TextInstructions.speaker
            2, "kind of text", PassageInstructions.genre
            2, "occupation", PassageInstructions.occupation
            2, "who did it", PassageInstructions.doer
            2, "statement", PassageInstructions.statement
            2, "belonging together", PassageInstructions.together
            2, "continuation", PassageInstructions.continuation
            3, "conversation", PassageInstructions.conversation
        |]

    let private drawn =
        makers
        |> Array.collect (fun (times, family, make) -> Array.replicate times (family, make))

    /// The families of tasks.
    let families: string[] = makers |> Array.map (fun (_, family, _) -> family)

    /// Instruction `index` of the endless stream of a seed.
    let example (seed: int) (index: int) : Instruction =
        let chance = Chance.ofRow "instructions" seed index
        let family, make = chance.Pick drawn
        let input, target = make chance

        {
            Family = family
            Input = input.Trim()
            Target = target
        }

    /// The endless stream of a seed, as input and target.
    let examples (seed: int) : (string * string) seq =
        Seq.initInfinite (example seed)
        |> Seq.map (fun found -> found.Input, found.Target)
