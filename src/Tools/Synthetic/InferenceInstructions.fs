namespace Peft.Synthetic

open Peft
open Peft.Synthetic.Wordings

/// Instructions that compare two texts: whether one follows from the other, and whether both mean the same.
module internal InferenceInstructions =
    // A text, what follows from it, what it rules out, and what it leaves open. Slots of one name are the same in all four.
    let private entailments =
        [|
            "{A} bought a(n) {thing} and a(n) {other=thing}.",
            "{A} bought a(n) {other}.",
            "{A} bought nothing.",
            "{A} bought a(n) {third=thing}."
            "{A} is taller than {B}.", "{B} is smaller than {A}.", "{B} is taller than {A}.", "{A} is older than {B}."
            "{A} came to {town} before {B}.", "{B} came after {A}.", "{B} came first.", "{B} came on {day}."
            "All {creature:s} of {A} are {colour}.",
            "No {creature} of {A} is {other=colour}.",
            "One {creature} of {A} is {other=colour}.",
            "{A} has {few} {creature:s}."
            "{A} gave {B} the {thing}.", "{B} got the {thing}.", "{A} kept the {thing}.", "{B} thanked {A}."
            "{A} never goes to the {venue}.",
            "{A} does not go to the {venue}.",
            "{A} goes to the {venue} on {day}.",
            "{B} goes to the {venue}."
            "{A} and {B} live in {town}.", "{B} lives in {town}.", "{A} lives in {far=town}.", "{A} was born in {town}."
            "The {vehicle} to {town} left at {clock}.",
            "A {vehicle} goes to {town}.",
            "No {vehicle} goes to {town}.",
            "{A} was on the {vehicle}."
            "{A} has sold the {thing} to {B}.",
            "{B} has the {thing} now.",
            "{A} still has the {thing}.",
            "{B} paid too much."
            "Only {A} knows where the {thing} is.",
            "{B} does not know where the {thing} is.",
            "{B} knows where the {thing} is.",
            "The {thing} is in the {venue}."
            "{A} wanted to {activity}, but it rained, and so {A.she} stayed at home.",
            "{A} was at home.",
            "{A} went out.",
            "{B} was at home, too."
            "{A}, a(n) {job} from {country}, met {B} on {day}.",
            "{A} comes from {country}.",
            "{A} and {B} never met.",
            "{B} is a(n) {job}."
        |]

    let private verdicts =
        [|
            "yes", "no", "maybe"
            "true", "false", "unknown"
            "entailment", "contradiction", "neutral"
            "right", "wrong", "not said"
            "follows", "impossible", "possible"
            "sure", "excluded", "open"
        |]

    /// Follows, is ruled out, or neither.
    let inference (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)
        let premise, follows, contradicts, neither = chance.Pick entailments

        let parts =
            (Template.expandKeeping Lexicon.rules cast chance $"{premise}\t{follows}\t{contradicts}\t{neither}").Split
                '\t'
            |> Array.map Inflect.capital

        let yes, no, open' = chance.Pick verdicts
        let kind = chance.Below 3
        let claim = parts[kind + 1]

        let asked =
            chance.Pick
                [|
                    $"Can we conclude this? {claim}"
                    $"Does it follow that: {claim}"
                    $"Claim: {claim}"
                    $"Then: {claim}"
                |]

        let premise = if chance.Odds 0.4 then $"Text: {parts[0]}" else parts[0]

        choose chance [| asked |] [| yes; no; open' |] premise, [| yes; no; open' |][kind]

    // A sentence, the same in other words, and one that means something else with the same words.
    let private rewordings =
        [|
            "{A} gave {B} the {thing}.", "{A} gave the {thing} to {B}.", "{B} gave the {thing} to {A}."
            "{A} and {B} {intransitive:past} in {town}.",
            "In {town}, {B} and {A} {intransitive:past}.",
            "In {town}, {B} saw {A}."
            "After {A} {intransitive:past}, {B} went home.",
            "{B} went home after {A} {intransitive:past}.",
            "{A} went home before {B}."
            "{A} is older than {B}.", "{B} is younger than {A}.", "{A} is younger than {B}."
            "The {thing} belongs to {A}.", "It is the {thing} of {A}.", "{A} has lost the {thing}."
            "{A} lives near the {venue}.", "The {venue} is near the house of {A}.", "{A} works in the {venue}."
            "On {day} {A} will {activity}.", "{A} will {activity} on {day}.", "{A} will not {activity} on {day}."
            "{A} said that the {thing} is {colour}.",
            "According to {A}, the {thing} is {colour}.",
            "According to {A}, the {thing} is not {colour}."
            "{A} is never {mood}.", "{A} is at no time {mood}.", "{A} is always {mood}."
            "{A} has {few} {creature:s}.", "{few} {creature:s} belong to {A}.", "{few} {creature:s} followed {A}."
        |]

    /// Whether two sentences mean the same.
    let paraphrase (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)
        let said, same, other = chance.Pick rewordings

        let parts =
            (Template.expandKeeping Lexicon.rules cast chance $"{said}\t{same}\t{other}").Split '\t'
            |> Array.map Inflect.capital

        let yes, no =
            chance.Pick
                [|
                    "yes", "no"
                    "same", "different"
                    "paraphrase", "not a paraphrase"
                    "equal", "unequal"
                    "equivalent", "not equivalent"
                |]

        let isSame = chance.Odds 0.5
        let second = if isSame then parts[1] else parts[2]

        let left, right =
            if chance.Odds 0.5 then
                parts[0], second
            else
                second, parts[0]

        choose
            chance
            [|
                "Do both sentences say the same?"
                "Is one a paraphrase of the other?"
                "Compare what the sentences mean."
            |]
            [| yes; no |]
            $"1: {left} 2: {right}",
        (if isSame then yes else no)

    /// The same in other words.
    let reword (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)
        let said, same, _ = chance.Pick rewordings

        let parts =
            (Template.expandKeeping Lexicon.rules cast chance $"{said}\t{same}").Split '\t'
            |> Array.map Inflect.capital

        ask
            chance
            [|
                "Say the same in other words: {}"
                "Paraphrase: {}"
                "Put it differently. {}"
            |]
            parts[0],
        parts[1]
