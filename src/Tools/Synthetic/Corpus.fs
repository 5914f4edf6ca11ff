namespace Peft.Synthetic

open Peft
open System

/// Plain English to pretrain on: stories, descriptions, facts, dialogues, instructions, lists and letters, from the
/// shared lexicon. One paragraph a line, about 20 to 80 words.
[<RequireQualifiedAccess>]
module Corpus =
    let private stories = WordLists.rules "corpus-stories"

    let private descriptions =
        WordLists.rules "corpus-descriptions"
        @ [
            "age",
            [|
                for value in 13..90 -> (if value % 3 = 0 then string value else Inflect.number value)
            |]
            "year", [| for value in 1780..7..1999 -> string value |]
        ]

    // Facts are rules of two words that belong together; they are drawn from the lexicon's pairs.
    let private factOf (chance: Chance) : string =
        match chance.Below 7 with
        | 0 ->
            let kind, members = chance.Pick Lexicon.kinds
            let some = chance.Sample(4, members)
            $"a(n) {some[0]} is a(n) {kind}. {Inflect.plural some[1]}, {Inflect.plural some[2]} and {Inflect.plural some[3]} are {Inflect.plural kind}, too."
        | 1 ->
            let worker, work = chance.Pick Lexicon.work
            $"a(n) {worker} is a person whose work it is to {work}. Many {Inflect.plural worker} {work} every day."
        | 2 ->
            let first, second = chance.Pick Lexicon.opposites
            $"the opposite of {first} is {second}. What is not {first} is often {second}."
        | 3 ->
            let first, second = chance.Pick Lexicon.synonyms
            $"{first} and {second} mean nearly the same. You can say {first} or {second}."
        | 4 ->
            let low = chance.Between(1, 60)
            let high = low + chance.Between(1, 39)
            $"{Inflect.number high} is more than {Inflect.number low}. In digits, {Inflect.number low} is {low} and {Inflect.number high} is {high}."
        | 5 ->
            let noun =
                chance.Pick(Array.concat [ Lexicon.things; Lexicon.animals; Lexicon.people ])

            let verb = chance.Pick(Array.append Lexicon.transitive Lexicon.intransitive)
            $"one {noun}, two {Inflect.plural noun}. Today they {verb}, yesterday they {Inflect.past verb}, and they have often {Inflect.participle verb}."
        | _ ->
            let kind, members = chance.Pick Lexicon.kinds

            let _, others =
                chance.Pick(
                    Lexicon.kinds
                    |> Array.filter (fun (other, _) ->
                        other <> kind
                        && not (other = "bird" && kind = "animal")
                        && not (other = "insect" && kind = "animal")
                        && not (other = "animal"))
                )

            $"a(n) {chance.Pick members} is a(n) {kind}, but a(n) {chance.Pick others} is not."

    let private topicWords (key: string) = TopicWords.rules[key]

    // Words of every topic side by side: what they mean can be learnt.
    let private others =
        WordLists.rules "corpus-others"
        @ [
            "worker", Array.concat [ topicWords "athlete"; topicWords "chef"; topicWords "player"; Lexicon.jobs ]
            "ground", Array.concat [ topicWords "arena"; topicWords "stage"; Lexicon.venues ]
        ]

    /// The worlds that reports keep apart.
    let worlds: string[] = [| "stadium"; "sky"; "kitchen"; "stage" |]

    // A report stays in one world, as texts do; the world's name is nowhere in it.
    let private reports =
        let about world who deed =
            [
                $"{world} event",
                Rules.lines
                    $"""{{{who}}} {{{deed}}}.
                    On {{day}}, {{{who}}} {{{deed}}}.
                    In {{town}}, {{{who}}} {{{deed}}}.
                    {{{who}}} {{{deed}}} last {{month}}.
                    {{A}} saw how {{{who}}} {{{deed}}}.
                    Nobody knew that {{{who}}} {{{deed}}}."""
                $"{world} report",
                [|
                    $"{{{world} event}} {{{world} event}}"
                    $"{{{world} event}} {{{world} event}} {{{world} event}}"
                |]
            ]

        [
            "stadium who", Rules.lines "the {athlete}\na(n) {athlete} from {town}\n{B}, the {athlete} of the {team},"
            "sky who", Rules.lines "the {sky}\na(n) {sky}\na(n) {sky} from the {region}"
            "kitchen who", Rules.lines "the {chef}\na(n) {chef} from {town}\n{B}, a(n) {chef} from {country},"
            "stage who", Rules.lines "the {player}\na(n) {player} from {town}\n{B}, a(n) {player} from {country},"
            "report", worlds |> Array.map (fun world -> $"{{{world} report}}")
        ]
        @ List.concat
            [
                about "stadium" "stadium who" "sports deed"
                about "sky" "sky who" "weather deed"
                about "kitchen" "kitchen who" "cooking deed"
                about "stage" "stage who" "music deed"
            ]

    let private rules =
        lazy
            (TopicWords.rules
             |> Rules.extend (List.concat [ stories; descriptions; others; reports ]))

    let private write (chance: Chance) (key: string) : string =
        let cast = Character.bindings (Character.cast 2 chance)
        (Template.expand rules.Value cast chance $"{{{key}}}").Trim()

    /// A line of one kind: `story`, `description`, `chat`, `mixture`, `report`, `instruction`, `list` or `letter`.
    let lineOf (chance: Chance) (kind: string) : string = write chance kind

    /// A sentence about what happened in one of the worlds.
    let event (chance: Chance) (world: string) : string = write chance $"{world} event"

    let private kinds =
        [|
            "story"
            "story"
            "story"
            "story"
            "description"
            "description"
            "chat"
            "chat"
            "mixture"
            "report"
            "report"
            "instruction"
            "list"
            "letter"
        |]

    /// Line `index` of the endless stream of a seed.
    let line (seed: int) (index: int) : string =
        let chance = Chance.ofRow "corpus" seed index

        if chance.Odds 0.15 then
            String.Join(" ", [ for _ in 1 .. chance.Between(1, 3) -> factOf chance ])
            |> Inflect.finish
        else
            lineOf chance (chance.Pick kinds)

    /// The endless stream of a seed.
    let lines (seed: int) : string seq = Seq.initInfinite (line seed)
