namespace Peft.Synthetic

/// What people plan, lend, lose, tell and answer in the scenes of the dialogues.
[<RequireQualifiedAccess>]
module SceneWords =
    // The answer stands on a line of its own, as the second speaker's turn.
    let private exchanges (text: string) =
        Rules.lines text |> Array.map _.Replace("/", "\n{B}: ")

    /// The shared rules and those of the dialogues.
    let rules: Lazy<Rules> =
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
                         "Sure! Of_course. Yes! I'd_love_to! With_pleasure. Gladly! Good_idea. Yeah,_sure. Absolutely! Why_not?"
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
