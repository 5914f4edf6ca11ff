namespace Peft.Synthetic

open Peft
open Peft.Synthetic.Wordings

/// Instructions that retell: direct speech as reported speech, a short story in one sentence, another person's view.
/// Dialogues, which the dialogue task summarises, are not retold.
module internal RetellingInstructions =
    let private expand (chance: Chance) (cast: (string * string) list) (first: string, second: string) =
        let parts =
            (Template.expandKeeping Lexicon.rules cast chance $"{first}\t{second}").Split '\t'

        parts[0], Inflect.capital parts[1]

    /// What somebody said, in the third person.
    let reported (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)

        let said, told =
            expand
                chance
                cast
                (chance.Pick
                    [|
                        "\"I am {mood},\" said {A}.", "{A} said that {A.she} was {mood}."
                        "\"I like {fruit:s},\" said {A}.", "{A} said that {A.she} liked {fruit:s}."
                        "{A}: \"I have lost my {thing}.\"", "{A} has lost {A.hers} {thing}."
                        "{A}: \"I will {activity} on {day}.\"", "{A} will {activity} on {day}."
                        "{A}: \"I can't come to the {venue}.\"", "{A} can't come to the {venue}."
                        "\"I want to {activity} with you,\" {A} told {B}.", "{A} wants to {activity} with {B}."
                        "\"Give me your {thing}!\" said {A} to {B}.", "{A} asked {B} for {B.hers} {thing}."
                        "\"Where is the {venue}?\" {A} asked {B}.", "{A} asked {B} where the {venue} was."
                        "\"My {relative} lives in {town},\" said {A}.",
                        "{A} said that {A.hers} {relative} lived in {town}."
                        "{A} wrote: \"I am in {town} with my {relative}.\"",
                        "{A} is in {town} with {A.hers} {relative}."
                        "\"Can you bring my {thing}?\" {A} asked {B}.", "{A} asked {B} to bring {A.hers} {thing}."
                        "\"I have to go to the {venue},\" said {A}.", "{A} has to go to the {venue}."
                    |])

        ask
            chance
            [|
                "Report what was said: {}"
                "Say it without quotation marks. {}"
                "Tell it in the third person: {}"
                "What did they say? Report it. {}"
            |]
            said,
        told

    let private filler =
        [|
            "It was a(n) {mood} {day}."
            "The sky over {town} was {colour}."
            "A(n) {creature} {intransitive:past} near the {venue}."
            "In the {venue} nobody spoke."
            "There were {few} {thing:s} on the {furniture}."
            "It was {clock}."
        |]

    /// What matters in a short story.
    let gist (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)

        let story, matter =
            chance.Pick
                [|
                    "{A} went to the {venue} to buy a(n) {thing}. But the {venue} was closed, and {A.she} went home.",
                    "{A} could not buy a(n) {thing} because the {venue} was closed."
                    "{A} looked for {A.hers} {thing} for {few} days. At last {B} found it in the {venue}.",
                    "{B} found the {thing} of {A} in the {venue}."
                    "{A} and {B} wanted to {activity}. Then it began to rain, so they stayed at home.",
                    "{A} and {B} stayed at home because of the rain."
                    "{A} met {B} in {town}. They talked for hours. In {month} they got married.",
                    "{A} and {B} got married in {month}."
                    "Every morning {A} saw a(n) {creature} at the {venue}. One day {A.she} took it home.",
                    "{A} took a(n) {creature} home from the {venue}."
                    "The {person} showed {A} a(n) {quality} {thing}. {A} liked it and paid {few} pounds.",
                    "{A} bought a(n) {thing} for {few} pounds."
                    "{A} missed the {vehicle} to {town}. {B} took {A.her} there by car.",
                    "{B} took {A} to {town} by car."
                    "{A} was ill. {B} came with {few} {fruit:s} and stayed until {clock}.",
                    "{B} visited {A}, who was ill."
                |]

        let text, short = expand chance cast (story, matter)
        let before, after = chance.Odds 0.5, chance.Odds 0.3
        let extra () = write chance (chance.Pick filler) + " "

        let told =
            (if before then extra () else "")
            + text
            + (if after then " " + (extra ()).Trim() else "")

        ask
            chance
            [|
                "What happened, in one sentence? {}"
                "Tell the story in a few words. {}"
                "Shorten the story: {}"
                "What is the point of the story? {}"
            |]
            told,
        short

    /// The same, told by or about another person.
    let viewpoint (chance: Chance) =
        let cast = Character.bindings (Character.cast 1 chance)

        let own, about =
            expand
                chance
                cast
                (chance.Pick
                    [|
                        "I live in {town} with my {relative}.", "{A} lives in {town} with {A.hers} {relative}."
                        "I have {few} {creature:s}, and I like them.",
                        "{A} has {few} {creature:s}, and {A.she} likes them."
                        "I am a(n) {job} and I want to {activity}.", "{A} is a(n) {job} and wants to {activity}."
                        "My {thing} is {colour}.", "The {thing} of {A} is {colour}."
                        "I lost my {thing} at the {venue}.", "{A} lost {A.hers} {thing} at the {venue}."
                        "Nobody told me about the {thing}.", "Nobody told {A} about the {thing}."
                    |])

        let name = snd cast.Head

        ask
            chance
            [|
                $"{name} says this. Tell it about {name}: {{}}"
                $"Write about {name}, who says: {{}}"
            |]
            own,
        about
