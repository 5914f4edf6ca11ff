namespace Peft.Synthetic

open System

/// Short chats between two friends and one sentence on what matters in them. Greetings and small talk surround the
/// matter; the summary leaves them out.
[<RequireQualifiedAccess>]
module Dialogue =
    /// The turns that matter, `A: …` and `B: …` (`?` marks one that may be left out), and the summaries that fit.
    type private Scene =
        {
            Turns: string list
            Summaries: string[]
        }

    /// One scene a paragraph: turns, then summaries after `=`.
    let private scenes =
        lazy
            ("""A: Do you want to {plan=outing} on {day}?
B: {yes} What time?
A: How about {clock}?
?B: {fine}
= {A} and {B} will {plan} on {day} at {clock}.
= {A} and {B} are going to {plan} at {clock} on {day}.

A: Shall we {plan=outing} on {day}?
B: {no} I have to {duty}.
?A: {pity}
= {B} can't {plan} with {A} on {day} because {B.she} has to {duty}.
= {B} has to {duty} on {day}, so {B.she} won't {plan} with {A}.

A: {listen} We said {day}, but I have to {duty} then.
B: {noworry} Is {day2=day} better?
A: {yes} Let's {plan=outing} on {day2} then.
= {A} and {B} will {plan} on {day2} instead of {day}.
= {A} has to {duty} on {day}, so {A.she} and {B} will {plan} on {day2}.

A: Can you {favour}?
B: {sure} When do you need me?
A: On {day}, around {clock}.
?B: {fine}
= {B} will {favour:help} on {day} around {clock}.

A: {please} Could I borrow your {object=loan}?
B: {sure} But I need it back by {day}.
?A: {thanks}
= {B} will lend {A} {B.hers} {object} until {day}.
= {A} will borrow {B}'s {object} and return it by {day}.

A: {please} Could I borrow your {object=loan}?
B: {no} I lent it to my {relative}.
?A: {pity}
= {A} can't borrow {B}'s {object} because {B} lent it to {B.hers} {relative}.
= {B} can't lend {A} the {object}, as {B.she} has lent it to {B.hers} {relative}.

A: I can't find my {object=thing}. Have you seen it?
B: {think} You left it at the {venue}.
A: {thanks} I'll go and look there.
= {A} is looking for {A.hers} {object}, which may be at the {venue}.
= {A} can't find {A.hers} {object}. {B} thinks it is at the {venue}.

A: {guess} I found a(n) {colour} {object=thing} at the {venue}.
B: That's mine! I lost it on {day}.
A: I'll bring it to you {soon}.
= {A} found {B}'s {colour} {object} at the {venue} and will bring it to {B.her} {soon}.
= {A} has found {B}'s {object} and will return it {soon}.

A: {guess} I {goodnews:past}!
B: {congratulations} Let's celebrate.
A: Come round on {day}, I'll make {meal}.
= {A} {goodnews:past}. {B} will visit {A.her} on {day} to celebrate.
= {A} {goodnews:past} and will celebrate with {B} on {day}.

A: {guess} I {badnews:past}.
B: {sorry} Can I help?
A: Could you {helpme}?
B: {sure}
= {A} {badnews:past}, so {B} will {helpme:help}.

A: I'm at the {venue}. Do we need anything?
B: {think} We need {grocery} and {grocery2=grocery}.
A: {okay} Anything else?
B: No, that's all.
= {A} will buy {grocery} and {grocery2} at the {venue}.
= {A} is at the {venue} and will get {grocery} and {grocery2}.

A: What should we give {C} for {C.hers} birthday?
B: How about a(n) {object=gift}?
A: {C.she:cap} already has one. A(n) {object2=gift}?
B: {fine} I'll buy it {soon}.
= {B} will buy a(n) {object2} for {C}'s birthday.
= {A} and {B} will give {C} a(n) {object2} for {C.hers} birthday.

A: Are you coming to {C}'s party on {day}?
B: {no} I have to {duty}.
?A: {C} will miss you.
= {B} won't come to {C}'s party on {day} because {B.she} has to {duty}.
= {B} has to {duty} and will miss {C}'s party on {day}.

A: Are you coming to {C}'s party on {day}?
B: {yes} Should I bring something?
A: Could you bring {grocery}?
B: {fine}
= {B} will bring {grocery} to {C}'s party on {day}.
= {A} asks {B} to bring {grocery} to {C}'s party on {day}.

A: I'm going to be late. {late}.
B: {noworry} How late?
A: About {minutes} minutes.
B: I'll wait at the {venue}.
= {A} will be about {minutes} minutes late.
= {A} will be {minutes} minutes late. {B} will wait for {A.her}.

A: Where are you? I'm waiting at the {venue}.
B: {apology} {late}.
A: How long will it take?
B: Another {minutes} minutes.
= {B} will be {minutes} minutes late to meet {A} at the {venue}.
= {A} is waiting at the {venue}, but {B} will only be there in {minutes} minutes.

A: Can you recommend a(n) {tip=recommended}?
B: {sure} Try the one in {town}. {praise}.
A: {thanks} I'll go there {soon}.
= {B} recommends a(n) {tip} in {town} to {A}.
= {A} will try the {tip} in {town} that {B} recommends.

A: Did you hear about {C}?
B: No, what happened?
A: {C.she:cap} {goodnews:past} last week.
?B: {wow}
= {A} tells {B} that {C} {goodnews:past} last week.
= {C} {goodnews:past} last week.

A: Did you hear about {C}?
B: No, tell me.
A: {C.she:cap} is moving to {town} in {month}.
B: {wow} I'll call {C.her} {soon}.
= {C} is moving to {town} in {month}. {B} will call {C.her}.
= {A} tells {B} that {C} is moving to {town} in {month}.

A: I'm sorry I {fault:past}.
B: {noworry} It can happen to anyone.
A: I'll buy you {treat} {soon}.
= {A} is sorry that {A.she} {fault:past} and will buy {B} {treat}.
= {A} {fault:past}, so {A.she} will buy {B} {treat}.

A: When does the {line} to {town} leave?
B: At {clock}, I think. Why?
A: I'm visiting my {relative} on {day}.
= {A} is taking the {line} to {town} on {day} to visit {A.hers} {relative}.
= {A} will visit {A.hers} {relative} in {town} on {day}. The {line} leaves at {clock}.

A: How was {country}?
B: {great} I spent {few} days there with my {relative}.
A: Did you bring me anything?
B: Yes, a(n) {object=gift}! I'll give it to you on {day}.
= {B} brought {A} a(n) {object} from {country}.
= {B} was in {country} with {B.hers} {relative} and has a(n) {object} for {A}.

A: Which one should I buy, the {colour} {clothing} or the {colour2=colour} one?
B: The {colour2} one. It suits you.
A: {thanks} I'll take it.
= {A} will buy the {colour2} {clothing} on {B}'s advice.
= {B} thinks that {A} should buy the {colour2} {clothing}.

A: Which one should I buy, the {colour} {object=thing} or the {colour2=colour} one?
B: The {colour} one is nicer.
A: But it costs {minutes} pounds more!
B: Then take the {colour2} one.
= {A} will buy the {colour2} {object} because it is cheaper.
= {B} prefers the {colour} {object}, but it is more expensive than the {colour2} one.

A: I want to learn to play the {instrument}.
B: My {relative} gives lessons on {day:s}.
A: How much is a lesson?
B: {minutes:cap} pounds.
= {A} wants to learn the {instrument}, and {B}'s {relative} gives lessons for {minutes} pounds.
= {B}'s {relative} can teach {A} the {instrument} on {day:s}.

A: My {pet} is ill. Do you know a good vet?
B: {think} {C} knows one in {town}.
A: {thanks} I'll ask {C.her} {soon}.
= {A} will ask {C} about a vet in {town} because {A.hers} {pet} is ill.
= {A}'s {pet} is ill, so {A.she} will ask {C} about a vet.

A: Could you look after my {pet} from {day}?
B: {sure} Where are you going?
A: To {town}, for {few} days.
= {B} will look after {A}'s {pet} while {A} is in {town}.
= {A} is going to {town} for {few} days, and {B} will look after {A.hers} {pet}.

A: Could you look after my {pet} on {day}?
B: {no} I have to {duty}. Ask {C}.
A: {fine} I'll call {C.her}.
= {B} can't look after {A}'s {pet}, so {A} will ask {C}.
= {A} will ask {C} to look after {A.hers} {pet} because {B} has to {duty}.

A: Who won the {game} match?
B: {town}, {few} to one. {C} played very well.
?A: {wow}
= {town} won the {game} match, and {C} played well.
= {B} tells {A} that {town} won the {game} match.

A: Do you still have that {object=thing} for sale?
B: {have} {minutes:cap} pounds.
A: I'll take it. Can I come on {day}?
?B: {fine}
= {A} will buy {B}'s {object} for {minutes} pounds and come on {day}.
= {B} is selling {A} a(n) {object} for {minutes} pounds.

A: Do you still have that {object=thing} for sale?
B: {havenot} I sold it to {C} on {day}.
?A: {pity}
= {B} has already sold the {object} to {C}.
= {A} can't buy {B}'s {object} because it has been sold to {C}.

A: Let's {plan=outing} {soon}.
B: I'd rather {plan2=outing}.
A: {fine} I'll book for {clock}.
= {A} and {B} will {plan2} at {clock}.
= {B} would rather {plan2} than {plan}, and {A} agrees.

A: The {furniture} arrived today, but it is {damaged}.
B: {sorry} Did you call the shop?
A: Yes, they will send a new one on {day}.
= {A}'s new {furniture} is {damaged}, but the shop will replace it on {day}.
= {A} will get a new {furniture} on {day} because the first one is {damaged}.

A: How was the {exam} test?
B: {bad} I have to take it again in {month}.
A: Do you want me to help you study?
B: {doplease}
= {B} failed the {exam} test. {A} will help {B.her} study.
= {A} will help {B} study for the {exam} test, which {B.she} has to take again in {month}."""
                .Split("\n\n")
             |> Array.map (fun paragraph ->
                 let summaries, turns =
                     paragraph.Split '\n'
                     |> List.ofArray
                     |> List.map _.Trim()
                     |> List.partition _.StartsWith("= ")

                 {
                     Turns = turns
                     Summaries = summaries |> List.map _.Substring(2) |> Array.ofList
                 }))

    // The answer stands on a line of its own, as the second speaker's turn.
    let private exchanges (text: string) =
        Rules.lines text |> Array.map _.Replace("/", "\n{B}: ")

    let private rules =
        lazy
            (Lexicon.rules
             |> Rules.extend
                 [
                     "sure",
                     Rules.words "Sure! Of_course. Yes! With_pleasure. Okay! No_problem. Yeah,_sure. Absolutely!"
                     "okay", Rules.words "Okay! All_right. Got_it. Fine. Will_do."
                     "have", Rules.words "Yes,_I_do. Yes! I_do! Yeah,_it's_still_here."
                     "havenot", Rules.words "No,_sorry. I'm_afraid_not. Sorry,_it's_gone. Too_late! Sadly_no."
                     "doplease", Rules.words "Yes,_please! That_would_be_great! Would_you? Oh_yes! Please!"
                     "apology", Rules.words "Sorry! So_sorry! Oh_no,_sorry! I'm_really_sorry! Nearly_there!"
                     "pet",
                     Rules.words
                         """dog cat rabbit hamster parrot pony goat tortoise canary guinea_pig puppy kitten goose lizard horse hen
                       donkey duck"""
                     "loan",
                     Rules.words
                         """bag camera lamp umbrella pillow blanket suitcase puzzle guitar violin drum hammer ladder bicycle scarf hat coat
                       jacket radio laptop telescope kettle saucepan rug tent rucksack helmet drill spade car van cookbook tie
                       lawnmower sleeping_bag charger keyboard printer map basket whistle compass torch cake_tin"""
                     "meal",
                     Rules.words
                         "soup pasta pizza curry pancakes noodles stew risotto lasagne a_pie an_omelette fish_pie roast_chicken dumplings"
                     "snack", Rules.words "sandwich biscuit cake muffin sausage pancake apple banana piece_of_pizza"
                     "chat snack", Rules.words "biscuit apple sandwich muffin cherry grape nut pancake"
                     "gift",
                     Rules.words
                         """book bag ring lamp clock teapot umbrella notebook painting candle blanket cushion doll kite puzzle scarf hat
                       necklace bracelet diary calendar compass tent rucksack helmet mug vase cookbook plant board_game watch
                       jumper mirror rug football guitar camera record radio telescope box_of_chocolates bottle_of_wine"""
                     "forgotten",
                     Rules.words "keys phone ticket wallet umbrella glasses coat purse passport bag helmet shoes"
                     "game", Rules.words "football tennis cricket hockey rugby basketball volleyball badminton"
                     "line", Rules.words "bus train ferry coach plane boat night_train"
                     "own", Rules.words "car bicycle van motorbike scooter tractor"
                     "outing",
                     Rules.lines
                         """go to the cinema
                       go to the beach
                       go swimming
                       go shopping
                       go for a walk
                       go to the zoo
                       go climbing
                       go skating
                       go to the concert
                       have lunch
                       have dinner
                       have a picnic
                       play tennis
                       play chess
                       play cards
                       play {badminton game}
                       see the new exhibition
                       watch a film
                       watch the match
                       bake a cake
                       cook {meal}
                       visit {town}
                       visit the museum
                       practise the {instrument}
                       meet at the {venue}
                       take the boat to {town}
                       paint the kitchen
                       drive to {town}"""
                     "badminton game", Rules.words "badminton table_tennis basketball volleyball golf"
                     "duty",
                     Rules.lines
                         """work
                       visit my {kin=relative}
                       study for an exam
                       go to the dentist
                       meet my boss
                       finish a report
                       babysit
                       stay at home
                       pick up my {kin=relative}
                       wait for the plumber
                       see a doctor
                       clean the flat
                       drive to {town}
                       help my {kin=relative} move
                       repair my {own}
                       catch up on sleep
                       look after the {pet}
                       take the {pet} to the vet
                       write an essay
                       fly to {town}"""
                     "goodnews",
                     Rules.lines
                         """pass the driving test
                       win a baking prize in {town}
                       find a new job in {town}
                       buy a house in {town}
                       win the {sport} tournament
                       get a place at the university
                       sell a painting
                       finish a book about {animal:s}
                       get engaged
                       become a(n) {job}
                       win a trip to {country}
                       adopt a(n) {pet}
                       start a band
                       run a marathon
                       open a shop in {town}
                       get a rise"""
                     "badnews",
                     Rules.lines
                         """miss the last bus
                       break a leg
                       lose the keys to the flat
                       fail the driving test
                       lose a job
                       fall off a ladder
                       crash the {own}
                       break the washing machine
                       catch a bad cold
                       lock the keys in the car
                       spill tea on the laptop
                       flood the kitchen"""
                     "fault",
                     Rules.lines
                         """forget the meeting
                       break the {item=thing}
                       lose the {item=thing}
                       miss the concert
                       forget to call
                       wake the baby
                       burn the {meal}
                       tell {C} the secret
                       shout at {C}
                       arrive so late
                       eat the last {snack}"""
                     "treat", Rules.words "lunch a_coffee an_ice_cream dinner a_drink a_cake breakfast a_new_one"
                     "grocery",
                     Rules.words
                         """milk bread butter eggs cheese coffee tea sugar flour rice apples bananas onions potatoes juice soap
                       candles salt honey yoghurt tomatoes carrots lemons pasta chocolate olives paper_cups napkins a_salad"""
                     "late",
                     Rules.lines
                         """The bus is late
                       My {own} broke down
                       I missed the train
                       There's a lot of traffic
                       I overslept
                       I got on the wrong {line}
                       I had to wait for my {relative}
                       I'm still at work
                       I forgot my {forgotten}"""
                     "minutes", [| for count in 10..5..60 -> Inflect.number count |]
                     "recommended",
                     Rules.words
                         "dentist hairdresser restaurant bakery hotel bookshop café garage gym language_school tailor music_school"
                     "praise",
                     Rules.lines
                         "Everyone loves it\nIt isn't expensive\nMy {kin=relative} goes there\nThe people are nice\nIt's worth the trip"
                     "damaged", Rules.words "broken scratched the_wrong_colour too_small too_big missing_a_leg dirty"
                     "exam",
                     Rules.words
                         "French history maths driving chemistry biology Spanish music geography physics first-aid"
                     "soon",
                     Rules.words
                         "tomorrow tonight next_week this_evening at_the_weekend later_today after_work tomorrow_morning"
                     "yes",
                     Rules.words
                         "Sure! Of_course. Yes! I'd_love_to! With_pleasure. Okay! No_problem. Yeah,_sure. Absolutely! Why_not?"
                     "no", Rules.words "Sorry,_I_can't. No,_sorry. I'm_afraid_not. Oh,_sorry. Sadly_no. I_can't,_sorry."
                     "fine", Rules.words "Great! Perfect. Sounds_good! All_right. Okay! Deal! Fine_with_me. Good_idea!"
                     "pity",
                     Rules.words "What_a_pity. Too_bad! Oh_well. Next_time,_then. That's_a_shame. Okay,_never_mind."
                     "noworry", Rules.words "No_worries. Don't_worry. That's_okay. No_problem. It's_fine. Never_mind."
                     "thanks",
                     Rules.words "Thanks! Thank_you_so_much! You're_the_best! Great,_thanks. Thanks_a_lot! Cheers!"
                     "please", Rules.words "I_need_help. Quick_question. Small_favour. One_more_thing. You_know_what?"
                     "listen", Rules.words "Bad_news. Listen. Small_problem. I'm_so_sorry. Change_of_plan!"
                     "think", Rules.words "Let_me_think. Hmm. Wait. I_think_so. Well..."
                     "guess", Rules.words "Guess_what! You_won't_believe_it! Big_news! Listen_to_this! Hey,_guess_what."
                     "wow", Rules.words "Wow! Amazing! No_way! Really? Oh! Interesting!"
                     "congratulations",
                     Rules.words "Congratulations! Wow! Well_done! That's_wonderful! Amazing! Hooray!"
                     "sorry", Rules.words "Oh_no! I'm_so_sorry. That's_terrible. Oh_dear. Poor_you!"
                     "great", Rules.words "Wonderful! Amazing! Too_hot,_but_lovely. Really_nice. Great!"
                     "bad", Rules.words "Terrible. Not_good. Awful! Don't_ask. I_failed."
                     // Two turns: the second speaker answers.
                     "greeting",
                     exchanges
                         """Hi!/Hi there!
                       Hey!/Hey!
                       Hello!/Hello, {A}!
                       Hi {B}!/Hi {A}!
                       Hey, how are you?/Fine, and you?
                       Hi, how's it going?/Good, thanks!
                       Long time no see!/I know! How are you?
                       Good morning!/Morning!
                       Hi {B}, are you busy?/Not really. What's up?
                       Hey {B}, do you have a minute?/Sure.
                       How are things?/A bit tired, but okay.
                       Are you at home?/Yes, why?"""
                     "chat",
                     exchanges
                         """It's been raining since {chat clock=clock}./Same here.
                       I'm so tired today./Oh, me too.
                       I've just had {chat meal=meal} for lunch./Lucky you!
                       My {chat relative=relative} says hello, by the way./That's nice! Hello back!
                       It's so cold in here./Put on a jumper, haha.
                       I'm listening to {chat instrument=instrument} music./Any good?
                       The neighbours are so noisy again./Poor you.
                       I just woke up, haha./At {chat clock=clock}? Lol.
                       My phone is nearly dead./Then be quick!
                       I can't stop eating {chat snack:s}./Sounds familiar.
                       There's a(n) {chat bird=bird} on my balcony!/Send me a picture!
                       I need a holiday./Who doesn't?
                       I saw your {chat relative=relative} at the {chat venue=venue} {chat time=time}./Really?
                       What are you doing?/Nothing, just watching TV.
                       Is it {chat day=day} already?/Time flies."""
                     "bye", Rules.words "Bye! See_you! Take_care! Talk_later! See_you_then. Have_a_nice_day!"
                     "bye back", Rules.words "Bye! See_you! You_too! Bye_bye! Take_care!"
                 ])

    // Favours read differently in the summary ("help me move" becomes "help Ann move"): each is a pair.
    let private favours =
        Rules.lines
            """help me move/help {A} move
            drive me to {town}/drive {A} to {town}
            drive me to the airport/drive {A} to the airport
            help me paint the kitchen/help {A} paint the kitchen
            repair my {own}/repair {A}'s {own}
            show me how to cook {meal}/show {A} how to cook {meal}
            help me with my homework/help {A} with {A.hers} homework
            teach me chess/teach {A} chess
            carry a(n) {furniture} upstairs with me/carry a(n) {furniture} upstairs with {A}
            pick me up from the station/pick {A} up from the station
            help me choose a(n) {clothing}/help {A} choose a(n) {clothing}
            water my plants/water {A}'s plants
            take a picture of my {item=thing}/take a picture of {A}'s {item}
            feed my {pet}/feed {A}'s {pet}"""
        |> Array.map (fun favour -> favour.Split('/')[0], favour.Split('/')[1])

    let private rescues =
        Rules.lines
            """pick me up/pick {A.her} up
            lend me some money/lend {A.her} some money
            bring me some {grocery}/bring {A.her} some {grocery}
            call my {kin=relative}/call {A.hers} {kin}
            help me clean up/help {A.her} clean up
            talk to my boss/talk to {A.hers} boss
            drive me home/drive {A.her} home
            come over tonight/come over tonight"""
        |> Array.map (fun favour -> favour.Split('/')[0], favour.Split('/')[1])

    let private line (text: string) =
        match text.IndexOf ": " with
        | -1 -> text
        | at -> text.Substring(0, at + 2) + Inflect.capital (text.Substring(at + 2).Trim())

    let private turnsOf (chance: Chance) (scene: Scene) : string list =
        let core =
            scene.Turns
            |> List.choose (fun turn ->
                if not (turn.StartsWith '?') then Some turn
                elif chance.Odds 0.5 then Some(turn.Substring 1)
                else None)

        let room = 7 - core.Length

        let exchange slot isWanted =
            if isWanted then [ $"A: {slot}" ] else []

        let greeting = exchange "{greeting}" (chance.Odds 0.5)
        let chat = exchange "{chat}" (chance.Odds 0.5)
        let last = (List.last core)[0]

        let ending =
            if last = 'A' then
                [ "B: {bye}"; "A: {bye back}" ]
            else
                [ "A: {bye}"; "B: {bye back}" ]
        // An exchange is two turns.
        let before = (greeting @ chat) |> List.truncate (room / 2)
        let left = room - 2 * before.Length

        let after =
            if chance.Odds 0.4 || core.Length + before.Length < 3 then
                ending |> List.truncate (min left (chance.Between(1, 2)))
            else
                []

        before @ core @ after

    /// Row `index` of the endless stream of a seed.
    let row (seed: int) (index: int) : Row =
        let chance = Chance.ofRow "dialogue" seed index
        let scene = chance.Pick scenes.Value
        let asked, favour = chance.Pick favours
        let rescue, rescued = chance.Pick rescues
        let cast = Character.cast 3 chance

        let dialogue =
            String.Join(
                '\n',
                turnsOf chance scene
                |> List.map (fun turn -> $"{{{turn[0]}}}" + turn.Substring 1)
            )

        let both =
            (dialogue + "\t" + chance.Pick scene.Summaries)
                .Replace("{favour}", asked)
                .Replace("{favour:help}", favour)
                .Replace("{helpme}", rescue)
                .Replace("{helpme:help}", rescued)
            |> Template.expandKeeping rules.Value (Character.bindings cast) chance

        // A duty is told in the first person ("visit my aunt"): its owner is the one who declines.
        let owner =
            if scene.Turns.Head.Contains "{listen}" then
                cast[0]
            else
                cast[1]

        let parts = both.Split '\t'

        {
            Input = String.Join('\n', parts[0].Split '\n' |> Array.map line)
            Target = Inflect.capital (parts[1].Replace(" my ", $" {owner.Hers} "))
        }
