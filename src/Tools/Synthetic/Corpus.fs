namespace Peft.Synthetic

open Peft
open System

/// Plain English to pretrain on: stories, descriptions, facts, dialogues, instructions, lists and letters, from the
/// shared lexicon. One paragraph a line, about 20 to 80 words.
[<RequireQualifiedAccess>]
module Corpus =
    let private stories =
        [
            "story",
            Rules.lines
                """{story start} {story middle} {story middle} {story end}
              {story start} {story middle} {story end}
              {story start} {story middle} {story talk} {story end}
              {story start} {story talk} {story middle} {story end}"""
            "story start",
            Rules.lines
                """{A} lived in a(n) {quality} house in {town}. Every {day}, {A.she} liked to {activity}.
              One morning, {A} woke up at {clock} and felt {mood}. {A.she} wanted to {activity}.
              Once there was a(n) {trait} {job} called {A}, who had a(n) {size} {pet=creature}.
              {A} and {A.hers} {kin=relative} were on the way to the {place=venue} when they met a(n) {trait} {other=person}.
              It was a(n) {mood} day for {A}. {A.she} had lost {A.hers} {colour} {it=thing} at the {place=venue}.
              Last {month}, {A} went to {town} to see {A.hers} {kin=relative}, a(n) {trait} {job}.
              In a village near {town} lived a(n) {job} who could {activity} better than anybody else. {A.hers} name was {A}.
              {A} had never seen a(n) {pet=creature} before. Then, one {day}, {A.she} found one in the {place=venue}.
              When {A} was {few} years old, {A.she} moved from {town} to {town}."""
            "story middle",
            Rules.lines
                """{A.she} took {A.hers} {it=thing} and went to the {place=venue}, but it was closed.
              On the way {A.she} saw {few} {creature:s} near the {place=venue}.
              A(n) {trait} {person} gave {A.her} a(n) {quality} {thing}, and {A.she} put it in {A.hers} bag.
              It began to rain, so {A.she} waited under a tree and ate a(n) {fruit}.
              Nobody knew why the {pet=creature} was so {mood}.
              {A.she} looked for the {it=thing} behind the {furniture} and under the {furniture}, but it was not there.
              There were {few} {thing:s} on the {furniture}, and one of them was {colour}.
              The {other=person} wanted to {activity}, but the {pet=creature} {intransitive:past} {manner}.
              After {few} days {A.she} was tired and wanted to go home.
              {A.she} {transitive:past} the {quality} {thing} and {transitive:past} the {it=thing}.
              The {vehicle} to {town} was late, and {A} had to wait for {few} hours.
              {A.she} tried to {activity}, but {A.she} was too {mood}.
              While {A.she} was {activity:ing}, a(n) {other=person} {intransitive:past} {manner} in the next room.
              Then {A.she} heard a noise: a(n) {size} {pet=creature} had {intransitive:part} on the {furniture}.
              {A.she} bought {few} {fruit:s} and a(n) {thing} for {few} pounds."""
            "story talk",
            Rules.lines
                """"Where is my {it=thing}?" asked {B}. "I left it at the {place=venue}," said {A}.
              "Can you help me?" asked the {other=person}. "Of course," said {A}, "I am good with {creature:s}."
              {B} said that {B.she} had seen a(n) {colour} {it=thing} in the {place=venue}.
              "I have never been so {mood}," said {B}. {A} did not know what to say.
              {B} asked {A} to {activity} with {B.her}, and {A.she} agreed.
              "You should ask the {other=person}," {B} {whisper}. "{B.she} knows everything about {thing:s}." """
            "whisper", Rules.words "whispered shouted answered said cried replied explained"
            "story end",
            Rules.lines
                """In the end, {A} found the {it=thing} and was very {mood}.
              Since then, {A} and the {other=person} have been friends.
              {A.she} went home, made some tea and slept until {clock}.
              {A} laughed and gave the {it=thing} back to {A.hers} {kin=relative}.
              That evening {A.she} told {A.hers} {kin=relative} the whole story.
              From that day on, {A.she} never forgot {A.hers} {it=thing} again.
              {A} promised to come back in {month}.
              So the {pet=creature} stayed with {A}, and they were both happy.
              And that is why {A} still has a(n) {quality} {it=thing} on the {furniture}."""
        ]

    let private descriptions =
        [
            "description",
            Rules.lines
                """The {room} has {few} {furniture:s} and a(n) {size} {colour} {main=furniture}. On the {main} there is a(n) {quality} {thing}, and next to it stands a(n) {thing}. Through the window you can see the {venue}.
              {A} is a(n) {trait} {job} from {town}. {A.she} is {age} years old, has {few} {creature:s} and likes {fruit:s}, {colour} {clothing:s} and {sport}. In {month} {A.she} always goes to {country}.
              {town} is a(n) {quality} town in {country}. It has a(n) {venue}, a(n) {venue} and {few} {venue:s}. Many people who live there work as {job:s}. In {month} it is often {weather}.
              {A}'s {pet=animal} is {size} and {colour}. It eats {vegetable:s} and {fruit:s}, sleeps in a(n) {quality} {furniture} and is afraid of {creature:s}. When {A} comes home, it is very {mood}.
              The {thing} in the {venue} is older than the {venue} itself. It was made by a(n) {job} from {town} in {year}, and {few} people have owned it since. It is {colour}, {quality} and very {quality}.
              {A} is wearing a(n) {colour} {clothing}, a(n) {quality} {clothing} and {colour} {clothing:s}. {A.she} carries a(n) {thing} in one hand and a(n) {thing} in the other.
              The {vehicle} from {town} to {town} takes {few} hours. There are {age} seats, and a ticket costs {age} pounds. It is {weather} outside, but inside it is warm and {quality}."""
            "room",
            Rules.words
                "kitchen bedroom living_room office classroom waiting_room cellar attic hall library studio workshop"
            "weather", Rules.words "cold warm sunny rainy windy foggy snowy cloudy hot dry stormy"
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
        [
            "chat",
            Rules.lines
                """{exchange} {reply} {exchange}
              {A} and {B} met at the {venue} on {day}. {exchange} Then they went to the {venue} together.
              {exchange} {exchange}
              {exchange} {reply}"""
            "exchange",
            Rules.lines
                """"Where is the {it=thing}?" asked {A}. "The {it} is on the {furniture}," said {B}.
              "Have you seen my {colour} {thing}?" asked {B}. "I think the {person} has it," said {A}.
              "Who wants to {plan=activity}?" asked {A}. "I would rather {activity} than {plan}," said {B}.
              "Why is the {creature} so {mood}?" asked {B}. "Because it has not eaten since {clock}," said {A} {manner}.
              "How many {fruit:s} do we need?" asked {A}. "{few:cap}, or perhaps {few}," said {B}.
              "When does the {vehicle} to {goal=town} leave?" asked {B}. "It leaves {goal} at {clock}," said {A}.
              "What did the {other=person} say?" asked {A}. "The {other} told me to {activity}," said {B} {manner}.
              "Do you like {fruit:s}?" asked {B}. "Yes, but {fruit:s} are even better," said {A}.
              "Is the {place=venue} open on {day}?" asked {A}. "No, the {place} is only open on {day}," said {B}.
              "Which {clothing} do you like best?" asked {B}. "The {colour} one," said {A}.
              "How old is your {kin=relative}?" asked {A}. "My {kin} is {age}," said {B}.
              "Shall we {activity}?" asked {B}. "With pleasure," said {A} {manner}, "but not before {clock}."
              "What is in the {thing}?" asked {A}. "{few:cap} {thing:s} and a(n) {fruit}," said {B}.
              "What would you like to become?" asked {B}. "A(n) {worker}," said {A}, "or a(n) {worker}." """
            "reply",
            Rules.lines
                """"Thank you!" said {A}.
              {A} was {mood} about that.
              "That is a pity," said {A} {manner}.
              "Are you sure?" {A} asked.
              {A} laughed {manner}.
              "How strange!" said {A}."""
            "mixture",
            Rules.lines
                """A(n) {worker}, a(n) {worker} and a(n) {worker} met near the {ground}. They spoke about {matter}, about {matter} and about {matter}, and then they had some {drink}.
              {A} wants to become a(n) {worker}, but {A.hers} {relative} would like {A.her} to be a(n) {worker}. {B} is a(n) {worker} and knows everything about {matter}.
              {A} has written a book about {matter} and {matter}. It begins with a(n) {worker} who finds a(n) {thing} in the {ground}.
              At the {ground}, {few} children learned about {matter}. The {worker} showed them {matter}, and the {worker} told them about {matter}.
              In the dream of {A} there was {matter}, and then {matter}. A(n) {worker} came out of the {ground} and said, "{A}, do you remember {matter}?"
              The quiz in {town} had questions about {matter}, {matter} and {matter}. {A}, a(n) {worker}, knew nearly all answers, and {B} won a(n) {thing}."""
            "worker", Array.concat [ topicWords "athlete"; topicWords "chef"; topicWords "player"; Lexicon.jobs ]
            "ground", Array.concat [ topicWords "arena"; topicWords "stage"; Lexicon.venues ]
            "matter",
            Rules.lines
                """the {contest}
              a(n) {contest}
              {plate} with {seasoning}
              {plate}
              a(n) {piece} for {instrument}
              the {piece}
              a(n) {sky} in the {region}
              {calm}
              the {team} from {town}
              the {group} from {town}
              a(n) {injury}
              a(n) {pan}
              {creature:s}
              a(n) {thing}"""
            "instruction",
            Rules.lines
                """To {activity}, you need a(n) {thing}, a(n) {quality} {thing} and {few} {thing:s}. First, {step}. Then {step} and {step}. After {few} minutes, {step}. Be careful not to {transitive} the {thing}.
              How to {activity}: 1. {step:cap}. 2. {step:cap}. 3. {step:cap}. Do not forget to {step}.
              Please {step} before you leave the {venue}. If the {thing} is {quality}, {step}. Otherwise {step} and call the {person}.
              If you want to {activity}, come to the {venue} on {day} at {clock}. Bring a(n) {thing} and {few} {fruit:s}. Children need a(n) {clothing}."""
            "step",
            Rules.lines
                """open the {furniture}
              clean the {thing} with {drink}
              put the {thing} on the {furniture}
              wait for {few} minutes
              cut the {fruit} into {few} pieces
              turn off the lights
              close the windows
              mix the {fruit:s} with the {vegetable:s}
              fold the {clothing}
              write down the number
              ask a(n) {trait} {person}
              take the {tool} and the {tool}
              count the {thing:s}
              wash your hands
              hold the {thing} with both hands
              carry the {thing} to the {venue}"""
            "list",
            Rules.lines
                """Shopping list of {A}: {few} {fruit:s}, {few} {vegetable:s}, {drink}, {dish}, a(n) {thing}, {colour} {clothing:s}. Not needed: {fruit:s} and {thing:s}.
              Things to do on {day}: {activity}, {activity}, buy {few} {fruit:s}, call {B}, {activity}, be at the {venue} at {clock}.
              At the {venue} in {town} you can see {creature:s}, {creature:s} and {creature:s}; you can also {activity} or {activity}.
              In {A}'s bag there are a(n) {thing}, a(n) {thing}, {few} {thing:s}, a(n) {colour} {clothing} and a(n) {fruit}. The {thing} is missing.
              Colours: {colour}, {colour}, {colour} and {colour}. Days: {day}, {day} and {day}. Months: {month}, {month}, {month}. Numbers: {few}, {few}, {few}."""
            "letter",
            Rules.lines
                """Dear {A}, thank you for the {quality} {thing}. I am in {town} now, where I {activity} every {day}. The {venue} is {quality}, and the people are {trait}. I will be back in {month}. Yours, {B}
              Dear {A}, I am sorry to tell you that the {thing} is {quality}. The {person} {transitive:past} it {time}. Could you send me a(n) {thing}? With best wishes, {B}
              {A}, the {animal} is in the {venue}. Please feed it at {clock} and {activity} with the children. There is {dish} in the kitchen. {B}"""
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
