namespace Peft.Synthetic

/// The words that every generator shares: names, places, animals, things, verbs and adjectives, as rules for
/// `Template.expand`. Topic words live beside their generators.
[<RequireQualifiedAccess>]
module Lexicon =
    let girls: string[] =
        Rules.words
            """Ada Agnes Alice Amara Amelia Amina Amy Ana Angela Anita Anna Annie Asha Astrid Aya Beatrice Bella Beth
            Bianca Brenda Bridget Carla Carmen Carol Cecilia Celia Chloe Clara Claire Dana Daisy Daphne Diana Dora Doris
            Edith Elena Elin Elise Ella Ellen Elsa Emily Emma Erica Esther Eva Evelyn Farah Fatima Fiona Flora Frances
            Freya Gemma Gina Gloria Grace Greta Hana Hannah Harriet Hazel Heather Heidi Helen Hilda Holly Ida Inga Ingrid
            Irene Iris Isabel Ivy Jade Jane Jasmin Jenny Joan Joanna Josie Joy Judith Julia June Karen Kate Katya
            Laila Laura Leah Lena Leonie Lily Linda Lisa Lola Lucy Lydia Mabel Maria Marie Marta Martha Mary Matilda Maya
            Mei Melissa Mia Mina Mira Miriam Molly Mona Nadia Naomi Nina Nora Olga Olive Olivia Pam Paula Penny Petra
            Phoebe Pia Polly Priya Rachel Rita Rosa Rose Ruby Ruth Sadie Sally Sandra Sara Selma Sheila Sofia Sonia Stella
            Sue Susan Sylvia Tamara Tanya Tara Teresa Tessa Tina Uma Ursula Vera Victoria Viola Wanda Wendy Yara Yasmin
            Yuki Yvonne Zara Zelda Zoe"""

    let boys: string[] =
        Rules.words
            """Aaron Abdul Adam Adrian Ahmed Alan Albert Alec Ali Amir Andrew Anton Arthur Arun Barry Ben Bernard Bill
            Bob Boris Brian Bruno Carl Carlos Cedric Charles Chris Clive Colin Conrad Cyril Daniel Dario David Dennis
            Derek Diego Dylan Ed Edgar Edward Edwin Eli Elias Emil Eric Erik Ethan Felix Fergus Finn Francis Frank Fred
            Gabriel Gareth Gary Gavin George Gerald Gilbert Glen Graham Greg Gustav Guy Hamid Harold Harry Hassan Hector
            Henry Herbert Hugh Hugo Ian Igor Isaac Ivan Jack Jacob Jamal James Jason Jim Joe Joel John Jonas Jorge
            Joseph Josh Juan Julian Karim Keith Kenji Kevin Kofi Kurt Lars Leo Leon Leonard Liam Lionel Louis Lucas Luis
            Luke Magnus Malik Manuel Marco Marcus Mario Martin Mateo Matthew Max Michael Miguel Mike Milo Mohan Nathan Ned
            Neil Nicholas Nigel Nils Noah Oliver Omar Oscar Otto Owen Pablo Patrick Paul Pedro Peter Philip Pierre Rafael
            Ralph Ravi Raymond Reza Richard Robert Roger Roland Ron Ross Roy Rupert Sam Samir Samuel Scott Sean
            Simon Stefan Stephen Steve Stuart Sven Tariq Ted Theo Thomas Tim Tobias Todd Tom Tony Umar Victor Vincent
            Walter Wayne William Yusuf"""

    let surnames: string[] =
        Rules.words
            """Abbott Adams Ahmed Allen Andersen Atkins Bailey Baker Barnes Becker Bell Bennett Berg Bishop Black Boyd
            Brooks Brown Burns Butler Carter Castro Chang Chapman Clark Cole Collins Cook Cooper Costa Cox Cruz Dale
            Davies Dean Diaz Dixon Doyle Duncan Dunn Edwards Ellis Evans Farmer Fischer Fisher Fletcher Flores Ford Foster
            Fox Fraser Garcia Gibson Gomez Gordon Grant Gray Green Griffin Gupta Hale Hall Hansen Harper Harris Hart Hayes
            Henderson Hill Holmes Howard Hughes Hunt Ivanov Jackson Jensen Johnson Jones Kaur Keller Kelly Khan King Knight
            Kumar Lang Larsen Lawson Lee Lewis Lopez Lowe Marsh Martin Mason Meyer Miller Moore Morgan Morris Murphy Murray
            Nelson Newman Nguyen Novak Okafor Olsen Osman Owens Palmer Park Parker Patel Pearce Perez Perry Porter Potter
            Price Quinn Reed Reyes Richards Rivera Roberts Rossi Ryan Salazar Sato Schmidt Scott Shah Shaw Silva Simpson
            Singh Slater Smith Stone Suzuki Tanaka Taylor Thompson Torres Tran Tucker Turner Vargas Vogel Wade Walker Wallace
            Ward Watson Webb Weber West White Wilson Wong Wood Wright Yamada Young Zimmer"""

    /// Towns, most of them invented from common parts.
    let towns: string[] =
        [|
            for first in
                Rules.words
                    "Ash Black Bright Clay Cold East Elm Fair Green Hazel High Long Mill North Oak Red Stone West White Wood" do
                for second in Rules.words "bridge bury field ford ham ton wick" -> first + second
        |]
        |> Array.append (
            Rules.words
                """Amsterdam Athens Berlin Bristol Brussels Cairo Chicago Copenhagen Delhi Dublin Edinburgh Geneva Glasgow Lagos
                Leeds Lima Lisbon London Lyon Madrid Milan Mumbai Nairobi Oslo Oxford Paris Porto Prague Rome Seattle
                Stockholm Sydney Tokyo Toronto Turin Vienna Warsaw York Zurich"""
        )

    let countries: string[] =
        Rules.words
            """Argentina Australia Austria Belgium Brazil Canada Chile China Cuba Denmark Egypt England Finland France Germany
            Ghana Greece Hungary Iceland India Ireland Italy Japan Kenya Mexico Morocco Nepal Norway Peru Poland Portugal
            Scotland Spain Sweden Switzerland Turkey Vietnam Wales"""

    let animals: string[] =
        Rules.words
            """dog cat horse cow pig sheep goat rabbit mouse rat fox wolf bear deer lion tiger leopard elephant giraffe zebra
            monkey gorilla camel donkey squirrel hedgehog badger otter beaver seal whale dolphin shark kangaroo koala panda
            hamster mole bat moose bison hippo rhino crocodile lizard snake turtle frog toad spider"""

    let birds: string[] =
        Rules.words
            """duck goose hen owl eagle hawk crow pigeon sparrow robin swan parrot penguin seagull swallow woodpecker ostrich
            peacock falcon stork heron turkey"""

    let insects: string[] =
        Rules.words "ant bee beetle butterfly cricket fly moth wasp mosquito dragonfly"

    let fruits: string[] =
        Rules.words
            """apple pear plum cherry peach apricot banana orange lemon lime grape melon mango pineapple strawberry raspberry
            blackberry blueberry fig coconut"""

    let vegetables: string[] =
        Rules.words
            """carrot potato onion cabbage pea bean tomato cucumber pepper pumpkin leek turnip radish beetroot mushroom lettuce
            cauliflower sprout"""

    let dishes: string[] =
        Rules.words
            """soup stew bread cheese rice pasta salad pizza porridge pancake sandwich omelette curry pie cake biscuit pudding
            burger noodle sausage toast muffin jam yoghurt chocolate"""

    let drinks: string[] =
        Rules.words "water tea coffee milk juice lemonade cocoa cider"

    let vehicles: string[] =
        Rules.words
            """car bus train bicycle lorry van tram ship boat ferry plane helicopter taxi motorbike tractor ambulance canoe
            scooter submarine sledge"""

    let tools: string[] =
        Rules.words
            """hammer saw drill spade shovel rake screwdriver spanner axe chisel ladder wheelbarrow brush needle
            file broom bucket hoe pump"""

    let furniture: string[] =
        Rules.words
            "table chair bed sofa desk shelf cupboard wardrobe bench stool armchair bookcase drawer lamp mirror cradle"

    let clothes: string[] =
        Rules.words
            """shirt coat jacket dress skirt jumper scarf hat cap glove sock shoe boot belt tie blouse cardigan apron sandal
            slipper raincoat"""

    let instruments: string[] =
        Rules.words
            "piano violin guitar flute drum trumpet cello harp clarinet trombone organ accordion banjo oboe saxophone tuba recorder ukulele"

    let sports: string[] =
        Rules.words
            "football tennis cricket hockey rugby basketball volleyball golf swimming rowing boxing cycling skiing athletics badminton judo"

    let colours: string[] =
        Rules.words "red blue green yellow black white brown grey orange purple pink"

    /// Things that a person can carry, own, lose and find.
    let things: string[] =
        Rules.words
            """book bag box key letter map watch ring coin phone camera lamp clock basket bottle cup plate bowl spoon umbrella
            ticket pencil notebook newspaper magazine postcard stamp picture painting vase candle torch rope blanket pillow
            towel suitcase parcel wallet purse doll kite ball puzzle toy guitar violin drum hammer ladder bicycle scarf hat coat
            glove jacket radio computer laptop telescope kettle saucepan knife jug teapot mirror rug flag whistle button
            necklace bracelet diary calendar compass tent rucksack helmet chair stool jar tin comb
            anchor barrel bead bell blade board bookmark broom bucket cart chessboard crate crown cushion
            envelope fan folder fork globe handle harp hook hose jigsaw lantern leaflet lid locket mask
            matchbox medal microphone mug napkin needle padlock pan paintbrush parachute pebble poster pot
            puppet quilt raft razor ruler sack saucer scooter screw shell shovel sign sponge statue stick
            stove sword tambourine thermometer token tray trophy trumpet tyre wheel wreath flute
            pillowcase notepad teaspoon toolbox wristwatch keyring lampshade footstool hairbrush handbag
            jewel lock magnet marble pocketknife pump scroll seat shield spade telephone toothbrush
            tripod typewriter weight"""

    let people: string[] =
        Rules.words
            """teacher doctor nurse farmer baker painter writer driver singer dancer lawyer judge soldier sailor pilot student
            pupil waiter cook butcher gardener librarian engineer plumber carpenter tailor shopkeeper hairdresser dentist
            fisherman postman policeman journalist photographer musician actor artist builder cleaner clerk coach guard guide
            hunter king queen prince princess manager mayor mechanic miner neighbour poet porter priest reporter scientist
            secretary shepherd stranger tourist traveller twin uncle aunt visitor widow wizard woman man girl boy child
            grandmother grandfather cousin
            accountant acrobat architect astronaut banker barber beekeeper blacksmith chemist clown
            detective diver duke editor florist goldsmith inspector inventor juggler knight landlord
            lifeguard locksmith magician monk nun optician passenger pirate potter professor puppeteer
            ranger roofer rider sculptor sheriff surgeon tenant translator weaver witness"""

    let jobs: string[] =
        Rules.words
            """teacher doctor nurse farmer baker painter writer driver singer dancer lawyer judge soldier sailor pilot waiter
            cook butcher gardener librarian engineer plumber carpenter tailor shopkeeper hairdresser dentist fisherman
            journalist photographer musician actor builder cleaner mechanic reporter scientist vet"""

    let relatives: string[] =
        Rules.words
            "mother father sister brother aunt uncle grandmother grandfather cousin neighbour friend daughter son"

    let sizes: string[] = Rules.words "big small large tiny huge little tall enormous"

    let traits: string[] =
        Rules.words
            """kind brave clever lazy shy proud gentle honest polite rude patient quiet noisy cheerful grumpy curious careful
            careless friendly generous greedy stubborn wise young old tired hungry lonely famous rich poor strong busy happy sad
            angry nervous calm sleepy funny serious helpful
            anxious bald bold charming clumsy confident creative cruel daring dishonest eager elderly
            fearless fierce forgetful foolish frail gifted graceful grateful handsome humble impatient
            jealous jolly loyal merry modest nosy pale pleasant reliable restless selfish sensible sincere
            slim sly strict talkative talented tough thoughtful trustworthy witty"""

    let moods: string[] =
        Rules.words "happy sad angry tired nervous proud surprised worried hungry bored excited calm lonely afraid"

    let qualities: string[] =
        Rules.words
            """old new broken heavy light expensive cheap beautiful ugly strange clean dirty wooden empty useful rusty shiny
            plain lovely simple wet dry round square long short wide narrow thick thin soft hard smooth rough bright dark
            ancient blunt bent bulky chipped colourful cracked crooked delicate dull dusty elegant faded
            fake flat fragile glossy greasy hollow lost magnificent modern muddy ordinary ornate pointed
            polished precious pretty rare ripped scratched secret shabby slippery spare spotless stained
            sticky stolen striped sturdy torn traditional unusual valuable"""

    /// Where people go; each takes `the`.
    let venues: string[] =
        Rules.words
            """park library market museum station harbour school hospital bank bakery theatre cinema castle church bridge
            garden forest beach river lake farm village shop office kitchen zoo airport hotel café playground post_office
            swimming_pool town_hall sports_hall bus_stop hill factory square"""

    let days: string[] =
        Rules.words "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"

    let months: string[] =
        Rules.words "January February March April May June July August September October November December"

    let clockTimes: string[] =
        [|
            for hour in Rules.words "one two three four five six seven eight nine ten eleven" do
                yield hour + " o'clock"
                yield "half past " + hour
                yield "quarter past " + hour
        |]

    let smallNumbers: string[] = [| 2..12 |] |> Array.map Inflect.number

    /// Verbs that take a thing; person acts.
    let transitive: string[] =
        Rules.words
            """buy find lose break carry clean hide paint sell steal bring draw keep hold drop borrow repair want like need
            open choose take see notice wash wrap lift throw catch push pull examine describe remember forget mend order
            photograph collect polish weigh touch miss admire burn check count
            arrange cover damage defend deliver design destroy display drag enjoy exchange fetch fix grab
            guard inspect invent kick label mark measure mention move obtain offer pack post praise press
            protect receive recognise reject remove rent replace rescue ruin save scratch seize select share
            smash spoil squeeze store study swap test unpack unwrap use watch"""

    /// Verbs that need no object.
    let intransitive: string[] =
        Rules.words
            """sleep laugh smile cry run swim dance sing wait arrive shout whisper cough sneeze fall work rest travel walk
            climb jump disappear listen leave return complain dream kneel yawn shiver hesitate wander vanish
            blush breathe chuckle collapse doze faint fidget frown gasp giggle grin groan grumble linger
            march moan mumble pause pray relax scream shrug sigh snore stumble struggle tremble whistle wink
            yell"""

    /// What people do, as verb phrases.
    let activities: string[] =
        Rules.lines
            """walk in the park
            read a book
            bake bread
            play chess
            water the plants
            feed the ducks
            write a letter
            clean the windows
            paint the fence
            watch the birds
            ride a bicycle
            pick apples
            cook dinner
            wash the car
            learn French
            knit a scarf
            repair the roof
            swim in the lake
            climb the hill
            listen to the radio
            build a model ship
            tidy the cupboard
            plant tulips
            collect shells
            draw a map
            take photographs
            practise the piano
            visit the market
            sort old papers
            sweep the yard
            carry wood
            make jam
            fly a kite
            mend a clock
            sit by the fire
            look at the stars
            sew buttons on a coat
            walk the dog
            sail a small boat
            play the guitar"""

    let times: string[] =
        Rules.words
            """yesterday last_week last_night this_morning on_Monday on_Friday on_Sunday in_spring in_summer in_autumn in_winter
            one_day two_days_ago last_month after_lunch before_breakfast in_the_evening at_noon a_year_ago"""

    let adverbs: string[] =
        Rules.words
            """quickly slowly quietly loudly carefully happily sadly suddenly gently politely nervously calmly proudly bravely
            secretly easily eagerly patiently often always usually sometimes never rarely"""

    /// Adverbs of manner, which follow a verb.
    let manners: string[] =
        Rules.words
            "quickly slowly quietly loudly carefully happily sadly suddenly gently politely nervously calmly proudly bravely secretly eagerly patiently"

    /// Pairs of opposite adjectives.
    let opposites: (string * string)[] =
        Rules.words
            """big/small hot/cold old/new happy/sad fast/slow high/low light/heavy early/late full/empty rich/poor hard/soft
            wet/dry clean/dirty strong/weak loud/quiet long/short wide/narrow thick/thin open/closed bright/dark cheap/expensive
            easy/difficult good/bad near/far right/wrong sweet/sour safe/dangerous tidy/messy true/false young/old brave/timid
            polite/rude deep/shallow sharp/blunt smooth/rough tight/loose calm/stormy careful/careless beautiful/ugly
            asleep/awake present/absent"""
        |> Array.map (fun pair -> pair.Split('/')[0], pair.Split('/')[1])

    /// Pairs of words that can stand for each other.
    let synonyms: (string * string)[] =
        Rules.words
            """big/large small/little quick/fast happy/glad sad/unhappy start/begin shut/close buy/purchase quiet/silent
            clever/smart angry/cross rich/wealthy scared/afraid tired/weary strange/odd sick/ill tidy/neat difficult/hard
            correct/right nearly/almost often/frequently shop/store stone/rock road/street present/gift child/kid hat/cap
            mistake/error answer/reply boat/ship forest/wood house/home picture/image jumper/sweater cab/taxi
            autumn/fall film/movie enormous/huge beautiful/lovely fix/repair"""
        |> Array.map (fun pair -> pair.Split('/')[0], pair.Split('/')[1])

    /// The classes that facts and quizzes are about: what a member is, in the singular.
    let kinds: (string * string[])[] =
        [|
            "animal", animals
            "bird", birds
            "insect", insects
            "fruit", fruits
            "vegetable", vegetables
            "vehicle", vehicles
            "tool", tools
            "piece of furniture", furniture
            "piece of clothing", clothes
            "musical instrument", instruments
        |]

    /// What workers do, with the worker.
    let work: (string * string)[] =
        Rules.lines
            """teacher/teach children
            doctor/look after sick people
            farmer/grow crops and keep animals
            baker/bake bread and cakes
            painter/paint pictures
            writer/write books
            driver/drive a bus
            singer/sing songs
            dancer/dance on a stage
            sailor/work on a ship
            pilot/fly planes
            waiter/bring food to the tables
            cook/prepare meals
            butcher/sell meat
            gardener/look after plants
            librarian/look after books
            plumber/repair pipes
            carpenter/make things from wood
            tailor/make clothes
            hairdresser/cut hair
            dentist/look after teeth
            fisherman/catch fish
            journalist/write for a newspaper
            photographer/take photographs
            builder/build houses
            cleaner/clean rooms
            mechanic/repair cars
            vet/look after sick animals
            shepherd/look after sheep
            judge/work in a court
            postman/deliver letters
            firefighter/put out fires"""
        |> Array.map (fun pair -> pair.Split('/')[0], pair.Split('/')[1])

    /// The shared rules.
    let rules: Rules =
        Rules.extend
            [
                "girl", girls
                "boy", boys
                "name", Array.append girls boys
                "surname", surnames
                "town", towns
                "country", countries
                "animal", animals
                "bird", birds
                "insect", insects
                "creature", Array.concat [ animals; birds ]
                "fruit", fruits
                "vegetable", vegetables
                "dish", dishes
                "drink", drinks
                "vehicle", vehicles
                "tool", tools
                "furniture", furniture
                "clothing", clothes
                "instrument", instruments
                "sport", sports
                "colour", colours
                "thing", things
                "person", people
                "job", jobs
                "relative", relatives
                "size", sizes
                "trait", traits
                "mood", moods
                "quality", qualities
                "venue", venues
                "day", days
                "month", months
                "clock", clockTimes
                "few", smallNumbers
                "transitive", transitive
                "intransitive", intransitive
                "activity", activities
                "time", times
                "manner", manners
            ]
            (System.Collections.Generic.Dictionary<string, string[]>())
