namespace Peft.Synthetic

open System

/// One instruction with its answer, and the family of tasks that it comes from.
type Instruction =
    {
        Family: string
        Input: string
        Target: string
    }

/// Instruction pairs to pretrain on, from many small families of tasks. The four benchmark tasks are held out: no
/// family asks for a news topic, for acceptability, for a text from attributes or for a summary of a dialogue.
[<RequireQualifiedAccess>]
module Instructions =
    // A wording holds `{}` where the text goes.
    let private ask (chance: Chance) (wordings: string[]) (text: string) =
        (chance.Pick wordings).Replace("{}", text)

    /// A question with its options, in the style `Is this …? OPTIONS: yes, no. <text>`.
    let private choose (chance: Chance) (questions: string[]) (options: string[]) (text: string) =
        let listed = String.Join(", ", chance.Shuffle options)
        let question = chance.Pick questions

        chance.Pick
            [|
                $"{question} OPTIONS: {listed}. {text}"
                $"{question} OPTIONS: {listed}. {text}"
                $"{text} {question} OPTIONS: {listed}."
                $"OPTIONS: {listed}. {question} {text}"
            |]

    let private yesNo (chance: Chance) =
        chance.Pick
            [|
                "yes", "no"
                "yes", "no"
                "true", "false"
                "right", "wrong"
                "correct", "incorrect"
            |]

    let private allWords = lazy (Lexicon.kinds |> Array.collect snd)
    let private write (chance: Chance) = Template.expand Lexicon.rules [] chance

    let private text (chance: Chance) =
        write
            chance
            (chance.Pick
                [|
                    "The {trait} {person} {transitive:past} the {colour} {thing}."
                    "{name} {transitive:past} a(n) {quality} {thing} in the {venue}."
                    "The {size} {creature} {intransitive:past} {manner} behind the {furniture}."
                    "{name} wants to {activity} with the {person}."
                    "On {day}, {name} went to {town} by {vehicle}."
                    "There are {few} {creature:s} and {few} {thing:s} near the {venue}."
                    "My {relative} is a(n) {trait} {job} in {country}."
                    "{name} likes {fruit:s}, {vegetable:s} and {drink}."
                |])

    let private bare (sentence: string) = sentence.TrimEnd '.'

    // Kinds overlap in one place: birds and insects are animals.
    let private isOther kind other =
        other <> kind
        && not (Set.isSubset (set [ kind; other ]) (set [ "animal"; "bird"; "insect" ]))

    let private membership (chance: Chance) =
        let kind, members = chance.Pick Lexicon.kinds
        let others = Lexicon.kinds |> Array.filter (fun (other, _) -> isOther kind other)
        let yes, no = yesNo chance
        let isMember = chance.Odds 0.5
        let word = chance.Pick(if isMember then members else snd (chance.Pick others))
        let a = Inflect.article kind

        choose
            chance
            [|
                $"Is this {a} {kind}?"
                $"Is the following word {a} {kind}?"
                $"Does the word name {a} {kind}?"
                $"Decide whether this is {a} {kind}."
            |]
            [| yes; no |]
            $"{Inflect.capital word}.",
        (if isMember then yes else no)

    let private whichIs (chance: Chance) =
        let kind, members = chance.Pick Lexicon.kinds
        let answer = chance.Pick members

        let others =
            Lexicon.kinds
            |> Array.filter (fun (other, _) -> isOther kind other)
            |> Array.collect snd
            |> fun words -> chance.Sample(chance.Between(1, 3), words)

        let a = Inflect.article kind
        let listed = String.Join(", ", chance.Shuffle(Array.append [| answer |] others))

        ask
            chance
            [|
                $"Which of these is {a} {kind}? OPTIONS: {{}}."
                $"OPTIONS: {{}}. Find the {kind}."
                $"Choose the word for {a} {kind}: {{}}."
            |]
            listed,
        answer

    let private kindOf (chance: Chance) =
        let kind, members = chance.Pick Lexicon.kinds
        let others = Lexicon.kinds |> Array.map fst |> Array.filter (isOther kind)
        let options = Array.append [| kind |] (chance.Sample(chance.Between(1, 3), others))
        let word = chance.Pick members

        let told =
            write
                chance
                (chance.Pick
                    [|
                        $"{{name}} saw a(n) {word} in {{town}}."
                        $"The {word} of my {{relative}} is {{colour}}."
                        $"Where is the {word}?"
                        $"On {{day}} they bought a(n) {word}."
                    |])

        choose
            chance
            [|
                "What is this text about?"
                "Which kind of thing does the text name?"
                "What do we read about?"
            |]
            options
            told,
        kind

    let private sentiment (chance: Chance) =
        let good, bad =
            chance.Pick
                [|
                    "positive", "negative"
                    "positive", "negative"
                    "good", "bad"
                    "happy", "unhappy"
                    "pleased", "displeased"
                    "friendly", "unfriendly"
                    "recommended", "not recommended"
                |]

        let isGood = chance.Odds 0.5

        let opinion =
            if isGood then
                [|
                    "I would buy it again."
                    "It works very well."
                    "Everybody in my family loves it."
                    "What a wonderful {what}!"
                    "It is worth every penny."
                    "I have never had a better {what}."
                    "It made me {glad}."
                    "Simply perfect."
                    "The best {what} in {town}."
                    "I use it every day and still enjoy it."
                    "The {what} is {fine}."
                    "I can only recommend it."
                |]
            else
                [|
                    "I want my money back."
                    "It broke after {few} days."
                    "Nobody in my family likes it."
                    "What a terrible {what}!"
                    "It is not worth the price."
                    "I have never had a worse {what}."
                    "It made me {cross}."
                    "Simply awful."
                    "The worst {what} in {town}."
                    "I used it once and never again."
                    "The {what} is {poor}."
                    "Do not waste your time on it."
                |]

        let rules =
            Lexicon.rules
            |> Rules.extend
                [
                    "opinion", opinion
                    "what",
                    Rules.words
                        "hotel book film lamp chair coat café phone camera bicycle bed kettle radio museum bag shop ladder computer"
                    "glad", Rules.words "happy smile proud"
                    "cross", Rules.words "angry sad cry"
                    "fine",
                    Rules.words
                        "great excellent lovely beautiful comfortable delightful charming brilliant fantastic pleasant"
                    "poor",
                    Rules.words "bad awful ugly uncomfortable useless boring dreadful broken disappointing horrible"
                    "neutral",
                    Rules.lines
                        "I bought the {what} in {month}.\nThe {what} is {colour}.\nMy {relative} chose this {what}.\nWe were there on {day}.\nIt cost {few} pounds."
                ]

        let review =
            Template.expandKeeping
                rules
                [ "what", chance.Pick rules["what"] ]
                chance
                (chance.Pick
                    [|
                        "{neutral} {opinion}"
                        "{opinion}"
                        "{o1=opinion} {o2=opinion}"
                        "{o1=opinion} {neutral} {o2=opinion}"
                    |])

        choose
            chance
            [|
                $"Is this review {good} or {bad}?"
                "What does the writer think?"
                "What is the feeling of the review?"
                "Which word describes the opinion?"
            |]
            [| good; bad |]
            review,
        (if isGood then good else bad)

    let private copy (chance: Chance) =
        let sentence = text chance

        ask
            chance
            [|
                "Copy the text: {}"
                "Repeat this: {}"
                "Write the same again: {}"
                "Say it again, word for word. {}"
            |]
            sentence,
        sentence

    let private reverse (chance: Chance) =
        let words =
            chance.Sample(chance.Between(2, 5), allWords.Value |> Array.filter (fun word -> not (word.Contains ' ')))

        ask
            chance
            [|
                "Reverse the order of the words: {}"
                "Write these words from last to first: {}"
                "Turn the words around: {}"
            |]
            (String.Join(" ", words)),
        String.Join(" ", Array.rev words)

    let private nouns =
        lazy
            (Array.concat [ Lexicon.things; Lexicon.people; allWords.Value ]
             |> Array.distinct)

    let private plural (chance: Chance) =
        let noun = chance.Pick nouns.Value

        ask
            chance
            [|
                "What is the plural of {}?"
                "Write the plural: {}"
                "One {}, two"
                "Give the word for more than one {}."
            |]
            noun,
        Inflect.plural noun

    let private singular (chance: Chance) =
        let noun = chance.Pick nouns.Value

        ask
            chance
            [|
                "What is the singular of {}?"
                "Write the singular: {}"
                "Many {}, but one"
                "Give the word for only one of the {}."
            |]
            (Inflect.plural noun),
        noun

    let private pastTense (chance: Chance) =
        let subject =
            write chance (chance.Pick [| "{name}"; "the {trait} {person}"; "the {person}" |])

        let rest =
            write
                chance
                (chance.Pick
                    [|
                        "the {quality} {thing}"
                        "a(n) {thing}"
                        "the {colour} {thing} in the {venue}"
                    |])
            |> Inflect.small

        let verb = chance.Pick Lexicon.transitive
        let present = Inflect.finish $"{subject} {Inflect.third verb} {rest}."
        let past = Inflect.finish $"{subject} {Inflect.past verb} {rest}."

        if chance.Odds 0.7 then
            ask
                chance
                [|
                    "Write the sentence in the past tense: {}"
                    "Put it into the past: {}"
                    "Say that it happened yesterday: {}"
                    "What is the past tense of this sentence? {}"
                |]
                present,
            past
        else
            ask
                chance
                [|
                    "Write the sentence in the present tense: {}"
                    "Put it into the present: {}"
                |]
                past,
            present

    let private tense (chance: Chance) =
        let isPast = chance.Odds 0.5
        let subject = write chance "the {trait} {person}"
        let verb = chance.Pick Lexicon.transitive
        let verb = if isPast then Inflect.past verb else Inflect.third verb

        choose
            chance
            [|
                "Is the sentence in the past or in the present?"
                "Which tense is it?"
                "When does it happen?"
            |]
            [| "past"; "present" |]
            (write chance $"{subject} {verb} the {{quality}} {{thing}}."),
        (if isPast then "past" else "present")

    let private reading (chance: Chance) =
        let cast = Character.cast 2 chance
        let rules = Lexicon.rules

        let story, question, answer =
            chance.Pick
                [|
                    "{A} {transitive:past} a(n) {thing} at the {venue}.", "Where was {A}?", "at the {venue}"
                    "{A} lives in {town} with {few} {creature:s}.", "Where does {A} live?", "in {town}"
                    "{A} lives in {town} with {few} {creature:s}.", "How many {creature:s} does {A} have?", "{few}"
                    "{A} and {B} met on {day} to {activity}.", "When did they meet?", "on {day}"
                    "{A} and {B} met on {day} to {activity}.", "Who met {B}?", "{A}"
                    "{A} wants to {activity}, but {B} does not.", "Who does not want to {activity}?", "{B}"
                    "{A} wants to {activity}, but {B} does not.", "Who wants to {activity}?", "{A}"
                    "The {thing} of {A} is {colour}, and the {thing2=thing} is {colour2=colour}.",
                    "What colour is the {thing2}?",
                    "{colour2}"
                    "The {thing} of {A} is {colour}, and the {thing2=thing} is {colour2=colour}.",
                    "What colour is the {thing}?",
                    "{colour}"
                    "{A} is a(n) {job} and {B} is a(n) {job2=job}.", "What is the work of {B}?", "{job2}"
                    "{A} is a(n) {job} and {B} is a(n) {job2=job}.", "Who is a(n) {job}?", "{A}"
                    "The {vehicle} leaves at {clock} and goes to {town}.",
                    "When does the {vehicle} leave?",
                    "at {clock}"
                    "The {vehicle} leaves at {clock} and goes to {town}.", "Where does the {vehicle} go?", "to {town}"
                    "{A} put the {thing} on the {furniture} and the {thing2=thing} under it.",
                    "What is on the {furniture}?",
                    "the {thing}"
                    "{A} put the {thing} on the {furniture} and the {thing2=thing} under it.",
                    "What is under the {furniture}?",
                    "the {thing2}"
                    "{A} gave {B} {few} {fruit:s}.", "What did {A} give {B}?", "{few} {fruit:s}"
                    "{A} gave {B} {few} {fruit:s}.", "Who got the {fruit:s}?", "{B}"
                |]

        let more =
            chance.Pick
                [|
                    ""
                    ""
                    " It was a {mood} day."
                    " It rained in {town2=town}."
                    " {A.she:cap} felt {mood2=mood}."
                |]

        let parts =
            (Template.expandKeeping rules (Character.bindings cast) chance $"{story}{more}\t{question}\t{answer}").Split
                '\t'
        // `finish` capitals the answer only after a full stop; a name keeps its own capital.
        let answer = parts[2]

        chance.Pick
            [|
                $"{parts[0]} {Inflect.capital parts[1]}"
                $"Read the text and answer the question. {parts[0]} {Inflect.capital parts[1]}"
                $"Question: {Inflect.capital parts[1]} Text: {parts[0]}"
                $"{Inflect.capital parts[1]} {parts[0]}"
            |],
        answer

    let private fields (chance: Chance) =
        let slots =
            chance.Sample(
                chance.Between(2, 4),
                [|
                    "colour", Lexicon.colours
                    "animal", Lexicon.animals
                    "town", Lexicon.towns
                    "day", Lexicon.days
                    "fruit", Lexicon.fruits
                    "owner", Lexicon.girls
                    "month", Lexicon.months
                    "job", Lexicon.jobs
                |]
            )
            |> Array.map (fun (slot, values) -> slot, chance.Pick values)

        let asked, answer = chance.Pick slots

        let listed =
            String.Join("; ", slots |> Array.map (fun (slot, value) -> $"{slot} = {value}"))

        ask
            chance
            [|
                $"{{}}. What is the {asked}?"
                $"Find the {asked}: {{}}"
                $"Which {asked} is given? {{}}"
            |]
            listed,
        answer

    let private completion (chance: Chance) =
        match chance.Below 3 with
        | 0 ->
            let worker, work = chance.Pick Lexicon.work

            ask
                chance
                [|
                    $"Complete the sentence: It is the work of {Inflect.article worker} {worker} to"
                    $"What does {Inflect.article worker} {worker} do?"
                    $"Complete: Every day, {Inflect.plural worker}"
                |]
                "",
            work
        | 1 ->
            let kind, members =
                chance.Pick(Lexicon.kinds |> Array.filter (fun (kind, _) -> kind <> "animal"))

            let word = chance.Pick members
            let a = Inflect.article kind

            ask
                chance
                [|
                    $"Complete the sentence: {Inflect.capital (Inflect.article word)} {word} is"
                    $"What is {Inflect.article word} {word}?"
                    $"Explain the word: {word}"
                |]
                "",
            $"{a} {kind}"
        | _ ->
            let first, second = chance.Pick Lexicon.opposites

            ask
                chance
                [|
                    $"Complete the sentence: What is not {first} is"
                    $"Complete: If it is not {second}, it is"
                |]
                ""
            |> fun asked -> asked, (if asked.Contains $"not {first}" then second else first)

    let private opposite (chance: Chance) =
        let first, second = chance.Pick Lexicon.opposites
        let given, answer = if chance.Odds 0.5 then first, second else second, first

        ask
            chance
            [|
                "What is the opposite of {}?"
                "Give the opposite: {}"
                "Write the word that means the contrary of {}."
            |]
            given,
        answer

    let private sameMeaning (chance: Chance) =
        let yes, no =
            chance.Pick [| "yes", "no"; "same", "different"; "true", "false"; "equal", "not equal" |]

        let isSame = chance.Odds 0.5

        let first, second =
            chance.Pick(if isSame then Lexicon.synonyms else Lexicon.opposites)

        let frame =
            chance.Pick
                [|
                    "The word of {name} was {}."
                    "They said {} again and again."
                    "On the door of the {venue} stood the word {}."
                    "{}"
                |]

        let frame = write chance (frame.Replace("{}", "@"))
        let left, right = frame.Replace("@", first), frame.Replace("@", second)

        choose
            chance
            [|
                "Do these two mean the same?"
                "Is the meaning the same?"
                "Compare the two texts."
            |]
            [| yes; no |]
            $"1: {left} 2: {right}",
        (if isSame then yes else no)

    let private countWords (chance: Chance) =
        let sentence = text chance
        let words = sentence.Split(' ')
        let kept = chance.Between(2, min 9 words.Length)
        let part = String.Join(" ", words[.. kept - 1]).TrimEnd('.', ',')

        ask
            chance
            [|
                "How many words are there? {}"
                "Count the words: {}"
                "What is the number of words in this text? {}"
            |]
            part,
        Inflect.number kept

    let private gap (chance: Chance) =
        let rules = Lexicon.rules
        let cast = Character.bindings (Character.cast 1 chance)

        let story, answer =
            chance.Pick
                [|
                    "{A} bought a(n) {quality} {thing}. The ___ was for {A.hers} {relative}.", "{thing}"
                    "{A} has a(n) {animal}. Every day, {A.she} feeds the ___.", "{animal}"
                    "{A} lives in {town}. The people of ___ like {A.her}.", "{town}"
                    "The {person} and {A} walked to the {venue}. But the ___ was closed.", "{venue}"
                    "{few:cap} {creature:s} were sleeping. One of the ___ woke up.", "{creature:s}"
                    "{A} did not want to go on {day}. But {A.she} had to go on ___.", "{day}"
                    "A(n) {colour} {thing} is still {colour} in the dark, and a(n) {colour2=colour} one is still ___.",
                    "{colour2}"
                    "{A} lost {A.hers} {clothing}. Without a(n) ___, {A.she} was cold.", "{clothing}"
                |]

        let parts =
            (Template.expandKeeping rules cast chance $"{story}\t{answer}").Replace("a(n) ___", "a ___").Split '\t'

        ask
            chance
            [|
                "Fill in the missing word: {}"
                "Which word is missing? {}"
                "What belongs in the gap? {}"
            |]
            parts[0],
        parts[1]

    let private ordering (chance: Chance) =
        let sentence = text chance
        let words = sentence.Split ' '

        ask
            chance
            [|
                "Put the words in order: {}"
                "Make a sentence from these words: {}"
                "Sort the words into a sentence: {}"
            |]
            (String.Join(" ", chance.Shuffle words |> Array.map (fun word -> word.TrimEnd('.', ',')))),
        sentence.Replace(",", "")

    let private title (chance: Chance) =
        let cast = Character.bindings (Character.cast 1 chance)

        let story, name =
            chance.Pick
                [|
                    "{A} had lost {A.hers} {thing}. {A.she:cap} looked for it in the {venue} and behind the {furniture}. On {day}, a(n) {person} found it.",
                    "The lost {thing}"
                    "A(n) {creature} lived in the {venue}. The {creature} was {trait}, and everybody in {town} knew it.",
                    "The {trait} {creature} of {town}"
                    "First, {A} went to {town}. Then {A.she} took the {vehicle} to {town2=town}. {A.she:cap} came home in {month}.",
                    "The travels of {A}"
                    "{A} and {A.hers} {relative} wanted to {activity}. They needed {few} {thing:s} and had a lot of fun.",
                    "How to {activity}"
                    "The {person} gave {A} a(n) {thing}. It was {quality} and {colour}. {A} still has it.",
                    "The gift of the {person}"
                    "On {day} the {venue} was closed. {A} and the other people of {town} waited {manner}.",
                    "{day} at the {venue}"
                    "{A} is a(n) {job}. {A.she:cap} gets up at {clock} and works until {clock2=clock}.",
                    "A day in the life of a(n) {job}"
                |]

        let parts =
            (Template.expandKeeping Lexicon.rules cast chance $"{story}\t{name}").Split '\t'

        ask
            chance
            [|
                "Find a title for the text: {}"
                "What could this text be called? {}"
                "Write a short title. {}"
            |]
            parts[0],
        Inflect.finish parts[1]

    let private misspelt (chance: Chance) (word: string) =
        let at = chance.Between(1, word.Length - 2)

        match chance.Below 3 with
        | 0 -> word.Remove(at, 1)
        | 1 -> word.Insert(at, string word[at])
        | _ ->
            word.Substring(0, at)
            + string word[at + 1]
            + string word[at]
            + word.Substring(at + 2)

    let private spelling (chance: Chance) =
        let words =
            nouns.Value
            |> Array.filter (fun word -> word.Length >= 5 && not (word.Contains ' '))

        let word = chance.Pick words

        if chance.Odds 0.5 then
            let wrong = misspelt chance word
            let wrong = if wrong = word then word.Remove(1, 1) else wrong

            ask
                chance
                [|
                    "Correct the spelling: {}"
                    "This word is misspelt: {}. Write it correctly."
                    "What is the right spelling of {}?"
                |]
                wrong,
            word
        else
            let wrong = misspelt chance word
            let wrong = if wrong = word then word.Remove(1, 1) else wrong

            let sentence =
                write chance $"The {{colour}} {{thing}} and the {word} are in the {{venue}}."

            ask
                chance
                [|
                    "Correct the misspelt word: {}"
                    "Write the text without the spelling mistake: {}"
                |]
                (sentence.Replace($" {word} ", $" {wrong} ")),
            sentence

    let private extraction (chance: Chance) =
        let cast = Character.bindings (Character.cast 1 chance)
        let count = chance.Between(13, 998)

        let story =
            Template.expandKeeping
                Lexicon.rules
                cast
                chance
                (chance.Pick
                    [|
                        $"{{A}} saw {count} {{creature:s}} in {{town}}."
                        $"On {{day}}, {{A}} sold {count} {{thing:s}} at the {{venue}}."
                        $"The {{person}} told {{A}} about {count} {{fruit:s}} from {{country}}."
                        $"In room {count} waits {{A}} with a(n) {{thing}}."
                    |])

        let name = snd cast.Head

        match chance.Below 2 with
        | 0 ->
            ask
                chance
                [|
                    "Which name is in the text? {}"
                    "Find the name of the person: {}"
                    "Who is the text about? {}"
                |]
                story,
            name
        | _ ->
            ask
                chance
                [|
                    "Which number is in the text? {}"
                    "Find the number: {}"
                    "Extract the number from the text. {}"
                |]
                story,
            string count

    let private digits (chance: Chance) =
        let value = chance.Below(chance.Pick [| 20; 100; 1000; 100000 |])

        ask
            chance
            [|
                "Write in digits: {}"
                "Which number is this? {}"
                "Turn the words into digits: {}"
            |]
            (Inflect.number value),
        string value

    let private numberWords (chance: Chance) =
        let value = chance.Below(chance.Pick [| 20; 100; 1000 |])

        ask
            chance
            [|
                "Write in words: {}"
                "How do you say {}?"
                "Turn the digits into words: {}"
            |]
            (string value),
        Inflect.number value

    let private larger (chance: Chance) =
        let low = chance.Below 99
        let high = low + 1 + chance.Below(100 - low)
        let isHigh = chance.Odds 0.5
        let first, second = if chance.Odds 0.5 then low, high else high, low

        let tell value =
            if chance.Odds 0.5 then
                string value
            else
                Inflect.number value

        let first', second' = tell first, tell second

        let told value =
            if value = first then first' else second'

        let word =
            if isHigh then
                chance.Pick [| "larger"; "greater" |]
            else
                chance.Pick [| "smaller"; "less" |]

        choose chance [| $"Which number is {word}?"; $"Choose the number that is {word}." |] [| first'; second' |] "",
        told (if isHigh then high else low)

    let private addition (chance: Chance) =
        let first, second = chance.Between(0, 12), chance.Between(0, 12)

        if chance.Odds 0.5 then
            $"What is {first} plus {second}?", string (first + second)
        else
            let thing = Inflect.plural (chance.Pick Lexicon.things)
            let name = chance.Pick Lexicon.girls

            $"{name} has {Inflect.number (first + 2)} {thing} and gets {Inflect.number (second + 2)} more. How many {thing} does she have now?",
            Inflect.number (first + second + 4)

    let private nth (chance: Chance) =
        let words = (bare (text chance)).Replace(",", "").Split ' '

        let place, name =
            chance.Pick [| 0, "first"; 1, "second"; 2, "third"; words.Length - 1, "last" |]

        ask
            chance
            [|
                $"What is the {name} word? {{}}"
                $"Write the {name} word of the text: {{}}"
                $"Which word comes {name}? {{}}"
            |]
            (String.Join(" ", words)),
        words[place]

    let private alphabet (chance: Chance) =
        let words =
            chance.Sample(chance.Between(3, 4), allWords.Value)
            |> Array.distinctBy (fun word -> word[0])

        let sorted =
            words |> Array.sortWith (fun left right -> String.CompareOrdinal(left, right))

        ask
            chance
            [|
                "Sort the words by the alphabet: {}"
                "Put these words in alphabetical order: {}"
            |]
            (String.Join(", ", words)),
        String.Join(", ", sorted)

    let private pronoun (chance: Chance) =
        let person = (Character.cast 1 chance).Head
        let rest = write chance "{transitive:past} the {quality} {thing}" |> Inflect.small
        let more = write chance "went to the {venue}" |> Inflect.small

        ask
            chance
            [|
                "Replace the name by he or she: {}"
                "Use he or she instead of the name: {}"
            |]
            $"{person.Name} {rest} and {more}.",
        $"{Inflect.capital person.She} {rest} and {more}."

    let private negation (chance: Chance) =
        let subject =
            write chance (chance.Pick [| "{name}"; "the {person}"; "my {relative}" |])

        let verb = chance.Pick Lexicon.transitive
        let rest = write chance "the {quality} {thing}" |> Inflect.small
        let isPast = chance.Odds 0.5

        let positive, auxiliary =
            if isPast then
                Inflect.past verb, "did"
            else
                Inflect.third verb, "does"

        let said = $"{subject} {positive} {rest}."
        let denied = $"{subject} {auxiliary} not {verb} {rest}."

        if chance.Odds 0.6 then
            ask
                chance
                [|
                    "Say that it is not so: {}"
                    "Make the sentence negative: {}"
                    "Deny this: {}"
                |]
                said,
            denied
        else
            ask chance [| "Say that it is so: {}"; "Make the sentence positive: {}" |] denied, said

    let private toQuestion (chance: Chance) =
        let subject =
            write chance (chance.Pick [| "{name}"; "the {person}"; "my {relative}" |])

        let verb = chance.Pick Lexicon.transitive
        let rest = write chance "the {quality} {thing}" |> Inflect.small
        let isName = not (subject.StartsWith "The " || subject.StartsWith "My ")
        let inside = if isName then subject else Inflect.small subject

        ask
            chance
            [|
                "Make it a question: {}"
                "Turn the sentence into a question: {}"
                "Ask whether this is true: {}"
            |]
            $"{subject} {Inflect.past verb} {rest}.",
        $"Did {inside} {verb} {rest}?"

    let private joining (chance: Chance) =
        let items =
            chance.Sample(chance.Between(2, 4), allWords.Value)
            |> Array.map Inflect.plural
            |> List.ofArray

        ask
            chance
            [|
                "Write the list with commas and the word and: {}"
                "Join these words to one phrase: {}"
            |]
            (String.Join(" / ", items)),
        Inflect.series items

    let private asksFor (chance: Chance) =
        let label, questions =
            chance.Pick
                [|
                    "person",
                    [|
                        "Who {transitive:past} the {thing}?"
                        "Who is the {trait} {job} from {town}?"
                        "Whose {thing} is that?"
                    |]
                    "place",
                    [|
                        "Where can I buy a(n) {thing}?"
                        "Where did {name} see the {creature}?"
                        "In which town does the {job} live?"
                    |]
                    "time",
                    [|
                        "When does the {vehicle} leave?"
                        "At what hour does the {venue} open?"
                        "When did {name} go to {country}?"
                    |]
                    "number",
                    [|
                        "How many {creature:s} live in {country}?"
                        "How many {thing:s} did the {person} buy?"
                        "How much does the {thing} cost?"
                    |]
                    "reason",
                    [|
                        "Why is the {creature} so {mood}?"
                        "Why did {name} go to {town}?"
                        "For what reason is the {venue} closed?"
                    |]
                |]

        let others =
            [| "person"; "place"; "time"; "number"; "reason" |] |> Array.except [ label ]

        let options = Array.append [| label |] (chance.Sample(chance.Between(1, 4), others))

        choose
            chance
            [| "What does this question ask for?"; "Which kind of answer is wanted?" |]
            options
            (write chance (chance.Pick questions)),
        label

    let private speaker (chance: Chance) =
        let cast = Character.bindings (Character.cast 2 chance)

        let told =
            Template.expandKeeping
                Lexicon.rules
                cast
                chance
                "\"I like {fruit:s},\" said {A}. \"I would rather have a(n) {thing},\" said {B}.\t{fruit:s}\t{thing}"

        let parts = told.Split '\t'
        let isFirst = chance.Odds 0.5

        let wanted =
            if isFirst then
                parts[1]
            else
                Inflect.article parts[2] + " " + parts[2]

        ask chance [| $"Who wants {wanted}? {{}}"; $"{{}} Who speaks about {wanted}?" |] parts[0],
        (if isFirst then
             snd cast.Head
         else
             cast |> List.find (fun (key, _) -> key = "B") |> snd)

    let private makers: (string * (Chance -> string * string))[] =
        [|
            "membership", membership
            "which is", whichIs
            "kind of thing", kindOf
            "sentiment", sentiment
            "copy", copy
            "reverse", reverse
            "plural", plural
            "singular", singular
            "past tense", pastTense
            "name the tense", tense
            "reading", reading
            "fields", fields
            "completion", completion
            "opposite", opposite
            "same meaning", sameMeaning
            "count words", countWords
            "gap", gap
            "word order", ordering
            "title", title
            "spelling", spelling
            "extraction", extraction
            "digits", digits
            "number words", numberWords
            "larger number", larger
            "addition", addition
            "nth word", nth
            "alphabet", alphabet
            "pronoun", pronoun
            "negation", negation
            "question", toQuestion
            "joining", joining
            "what is asked", asksFor
            "speaker", speaker
            // Reading and choosing carry over to other tasks, so they come more often.
            "sentiment", sentiment
            "reading", reading
            "reading", reading
            "kind of thing", kindOf
            "membership", membership
            "title", title
            "what is asked", asksFor
        |]

    /// The families of tasks.
    let families: string[] = makers |> Array.map fst |> Array.distinct

    /// Instruction `index` of the endless stream of a seed.
    let example (seed: int) (index: int) : Instruction =
        let chance = Chance.ofRow "instructions" seed index
        let family, make = chance.Pick makers
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
