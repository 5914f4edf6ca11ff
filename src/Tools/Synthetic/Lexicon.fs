namespace Peft.Synthetic

open System.Collections.Generic

/// The words that every generator shares, from words/lexicon.txt: names, places, animals, things, verbs and adjectives, as
/// rules for `Template.expand`. Topic words lie in files of their own.
[<RequireQualifiedAccess>]
module Lexicon =
    let private list = WordLists.read "lexicon"

    let girls: string[] = list "girl"

    let boys: string[] = list "boy"

    let animals: string[] = list "animal"

    let birds: string[] = list "bird"

    let fruits: string[] = list "fruit"

    let colours: string[] = list "colour"

    /// Things that a person can carry, own, lose and find.
    let things: string[] = list "thing"

    let people: string[] = list "person"

    let jobs: string[] = list "job"

    let sizes: string[] = list "size"

    let traits: string[] = list "trait"

    let moods: string[] = list "mood"

    let qualities: string[] = list "quality"

    /// Where people go; each takes `the`.
    let venues: string[] = list "venue"

    let days: string[] = list "day"

    let months: string[] = list "month"

    /// Verbs that take a thing; person acts.
    let transitive: string[] = list "transitive"

    /// Verbs that need no object.
    let intransitive: string[] = list "intransitive"

    /// Towns, most of them invented from common parts.
    let towns: string[] =
        Array.append
            (list "town")
            [|
                for first in list "town beginning" do
                    for second in list "town ending" -> first + second
            |]

    let private clockTimes =
        [|
            for hour in list "hour" do
                yield hour + " o'clock"
                yield "half past " + hour
                yield "quarter past " + hour
        |]

    let smallNumbers: string[] = [| 2..12 |] |> Array.map Inflect.number

    /// Pairs of opposite adjectives.
    let opposites: (string * string)[] = WordLists.pairs "lexicon" "opposites"

    /// Pairs of words that can stand for each other.
    let synonyms: (string * string)[] = WordLists.pairs "lexicon" "synonyms"

    /// What workers do, with the worker.
    let work: (string * string)[] = WordLists.pairs "lexicon" "work"

    /// The classes that facts and quizzes are about: what a member is, in the singular.
    let kinds: (string * string[])[] =
        [|
            "animal", animals
            "bird", birds
            "insect", list "insect"
            "fruit", fruits
            "vegetable", list "vegetable"
            "vehicle", list "vehicle"
            "tool", list "tool"
            "piece of furniture", list "furniture"
            "piece of clothing", list "clothing"
            "musical instrument", list "instrument"
        |]

    /// The shared rules: every list of the file, and those that are made of several.
    let rules: Rules =
        Dictionary<string, string[]>()
        |> Rules.extend (WordLists.rules "lexicon")
        |> Rules.extend
            [
                "name", Array.append girls boys
                "town", towns
                "creature", Array.append animals birds
                "clock", clockTimes
                "few", smallNumbers
            ]
