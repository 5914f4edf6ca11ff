namespace Peft.Synthetic

/// One row of a generated task: what the model reads and what it should write.
type Row = { Input: string; Target: string }

/// A short news text and its topic. Most texts borrow words of a second topic, so that one keyword does not decide:
/// what happens decides.
[<RequireQualifiedAccess>]
module Topic =
    /// The answers, each as likely as the others.
    let labels: string[] = [| "sports"; "weather"; "cooking"; "music" |]

    let private sportsRules =
        [
            "team",
            Rules.words
                """Rovers Wanderers Tigers Eagles Falcons Lions Rangers Wolves Bears Comets Dragons Foxes Hawks Kings
              Pirates Royals Sharks Stags"""
            "athlete",
            Rules.words
                """striker goalkeeper defender midfielder sprinter hurdler swimmer cyclist rower boxer wrestler fencer skier skater
              gymnast archer bowler batsman golfer jockey captain substitute winger marathon_runner diver climber
              tennis_player high_jumper javelin_thrower weightlifter"""
            "contest",
            Rules.words
                """final semi-final quarter-final league_match cup_tie derby friendly relay marathon sprint tournament championship
              regatta play-off replay decathlon triathlon qualifier test_match grand_prix"""
            "arena",
            Rules.words
                "stadium pitch court velodrome race_track ring rink gymnasium golf_course running_track arena swimming_pool"
            "injury",
            Rules.words
                "sprained_ankle torn_muscle broken_finger sore_knee strained_back bruised_shoulder twisted_wrist"
            "feat",
            Rules.lines
                """scored twice in the second half
              saved a late penalty
              set a new national record
              won by a single point
              missed a penalty
              came from behind to win
              was sent off after a foul
              took the lead on the last lap
              lost in straight sets
              scored in extra time
              finished two seconds ahead of the field
              cleared two metres at the first attempt
              threw the ball away in the closing minutes
              won the bronze medal
              was disqualified for a false start
              equalised just before half-time
              kept a clean sheet
              hit the post three times
              retired from the race with a(n) {injury}
              beat the champion on points"""
        ]

    // What hot and what cold or wet weather is, and does.
    let private hot =
        Rules.words "heatwave drought sandstorm warm_spell dry_spell hot_wind run_of_sunny_days desert_wind",
        Rules.lines
            """pushed the temperature above {degrees} degrees
            has dried out the reservoirs
            is expected to last until {day}
            broke a record that had stood since 1976
            will give way to {calm}
            drove {few} thousand people to the beaches of {country}
            is moving slowly towards the {region}
            has turned the fields of the {region} brown
            should end on {day}"""

    let private cold =
        Rules.words
            """thunderstorm hailstorm blizzard cold_front downpour gale hurricane tornado snowstorm bank_of_fog shower_of_sleet
            night_of_drizzle ground_frost band_of_rain sea_mist cloudburst ice_storm low-pressure_system""",
        Rules.lines
            """will bring heavy showers to the {region}
            will clear by the evening
            should ease before dawn
            is moving slowly towards the {region}
            left {few} villages without power
            caused delays on the low-lying roads
            kept the ferries of {town} in port
            is expected to last until {day}
            drifted in from the sea overnight
            caught many people without umbrellas
            will give way to {calm}
            sent the thermometer below zero
            broke a record that had stood since 1976
            soaked the {region} for {few} days"""

    let private weatherRules =
        [
            "sky", Array.append (fst hot) (fst cold)
            "change", snd cold
            "calm",
            Rules.words "sunshine clear_skies light_winds mild_air scattered_clouds gentle_breezes sunny_intervals"
            "forecaster",
            Rules.words
                "forecaster meteorologist weather_service climate_expert weather_station met_office storm_watcher"
            "region",
            Rules.words "coast north south valley mountains islands plains lowlands hills west east moors lake_district"
            "degrees", [| 26..38 |] |> Array.map string
        ]

    let private cookingRules =
        [
            "chef",
            Rules.words
                """chef baker cook pastry_chef butcher caterer restaurant_owner food_writer cheesemaker kitchen_apprentice
              sous-chef grill_master confectioner chocolate_maker head_cook"""
            "plate",
            Rules.words
                """risotto lasagne goulash paella ratatouille shepherd's_pie onion_soup lentil_curry fish_stew apple_tart
              cheesecake lemon_sponge sourdough_loaf mushroom_omelette roast_lamb pumpkin_soup rice_pudding potato_gratin
              vegetable_broth ginger_biscuits plum_crumble stuffed_peppers bean_chilli garlic_bread beef_casserole
              noodle_salad cinnamon_buns chicken_pie"""
            "seasoning",
            Rules.words
                "garlic ginger nutmeg thyme rosemary saffron basil cinnamon paprika mustard parsley cumin vanilla vinegar butter honey"
            "pan",
            Rules.words "oven frying_pan saucepan casserole wok grill mixing_bowl baking_tray pressure_cooker stove"
            "method",
            Rules.lines
                """simmers for {few} hours with {seasoning}
              tastes best with fresh {seasoning}
              needs nothing but {seasoning} and patience
              is baked slowly in a hot oven
              should be stirred all the time
              is fried in butter until golden
              goes well with roasted {vegetable:s}
              burned because the oven was too hot
              is served with a(n) {seasoning} sauce
              rises twice before it is baked
              is made with {few} eggs and a pinch of salt
              has too much {seasoning}, critics say
              can be prepared in {few} minutes
              is back on the menu in {town}
              uses up leftover {vegetable:s}
              took first prize for its crust"""
        ]

    let private musicRules =
        [
            "player",
            Rules.words
                """pianist violinist cellist drummer guitarist singer tenor soprano conductor composer songwriter trumpeter harpist
              organist flautist rapper folk_singer bass_player choirmaster jazz_trio string_quartet brass_band youth_choir
              rock_band orchestra"""
            "group",
            Rules.words
                "jazz_trio string_quartet brass_band youth_choir rock_band orchestra folk_duo wind_ensemble gospel_choir"
            "piece",
            Rules.words
                """symphony sonata concerto ballad opera waltz album single lullaby overture song_cycle requiem serenade hymn
              string_quartet love_song musical film_score debut_album march"""
            "stage",
            Rules.words
                "concert_hall opera_house jazz_club festival_stage recording_studio bandstand chapel ballroom music_school"
            "act",
            Rules.lines
                """played {few} encores
              recorded a(n) {piece} in {few} days
              forgot the words of the second verse
              sang without a microphone
              tuned up for {few} minutes before the first note
              released a(n) {piece} about {town}
              will tour {few} countries
              topped the charts with a(n) {piece}
              performed a forgotten {piece}
              broke a string in the slow movement
              received a standing ovation
              swapped the {instrument} for the {inst2=instrument}
              came in a bar too early
              wrote a(n) {piece} for the town's anniversary
              moved the audience to tears with a(n) {piece}
              cancelled the second half because of a sore throat
              rehearsed the chorus all night
              filled the {stage} with soft harmonies"""
        ]

    /// Clauses of one topic that can hang on a text about another.
    let private asides =
        [
            "sports aside",
            Rules.lines
                """, who once played in goal for the {team},
              , a former {athlete},
              , who trains at the {arena} every {day},
              , a lifelong fan of the {team},
              , who had missed the {contest} to be there,
              , whose brother is a(n) {athlete},"""
            "weather aside",
            Rules.lines
                """, who had driven through a(n) {sky},
              , undeterred by the {sky},
              , still wet from the {sky},
              , who used to work as a(n) {forecaster},
              , glad of the {calm},
              , who had waited for {calm},"""
            "cooking aside",
            Rules.lines
                """, who also runs a bakery,
              , a trained {chef},
              , known for a fine {plate},
              , fresh from a plate of {plate},
              , whose mother is a(n) {chef},
              , who gave up a job as a(n) {chef},"""
            "music aside",
            Rules.lines
                """, who plays the {instrument} at weekends,
              , a trained {player},
              , humming a(n) {piece},
              , whose sister is a(n) {player},
              , who once sang at the {stage},
              , better known as a(n) {player},"""
            "sports place",
            Rules.lines
                """outside the {arena}
              on the day of the {contest}
              while the {team} were playing at home
              in front of {few} hundred fans of the {team}"""
            "weather place",
            Rules.lines
                """despite the {sky}
              as a(n) {sky} passed over {town}
              under {calm}
              while the rain beat on the roof"""
            "cooking place",
            Rules.lines
                """behind a shop that sells {plate}
              next to a stall selling {plate}
              while {plate} was being served
              in a tent that smelled of {seasoning}"""
            "music place",
            Rules.lines
                """next to the {stage}
              to the sound of a(n) {piece}
              while a(n) {player} was playing
              after a short {piece} for {instrument}"""
        ]

    let private shared =
        [
            "dull headline",
            Rules.lines
                """News from {town}
              A day to remember in {town}
              Surprise in {town}
              {name} {surname} makes the news
              All eyes on {town}
              {town} talks of nothing else
              What happened on {day}
              Mixed feelings in {country}
              A long night in {town}
              Good news for {country}
              {surname} has the last word
              Nobody saw it coming
              The talk of {town}
              {day} in brief
              A first for {country}
              {surname} under pressure
              Hopes rise in {town}
              Not as planned"""
        ]

    let private headlines =
        [
            "sports headline",
            Rules.lines
                """{team} march on
              {town} {team} beaten at home
              {athlete:cap} eyes the {contest}
              Late drama in the {contest}
              {team} sign a(n) {athlete}
              {surname} wins in {town}
              No goals in {town}
              Gold for {country}"""
            "weather headline",
            Rules.lines
                """{sky:cap} heads for {town}
              {calm:cap} by {day}
              {town} under water
              Warning for the {region}
              {country} shivers
              {degrees} degrees in {town}
              After the {sky}
              {sky:cap} closes the roads"""
            "cooking headline",
            Rules.lines
                """The secret of good {plate}
              {town} falls for {plate}
              More {seasoning}, please
              {chef:cap} shares a recipe
              {surname} opens a kitchen
              {plate:cap} in {few} steps
              What to do with {vegetable:s}
              {plate:cap} returns"""
            "music headline",
            Rules.lines
                """{player:cap} back on stage
              {piece:cap} divides the critics
              Encore for {surname}
              {town} hears a new {piece}
              Full house for the {player}
              Last notes in {town}
              {instrument:cap} and orchestra
              A(n) {piece} for {country}"""
        ]

    let private bodies =
        [
            "sports body",
            Rules.lines
                """{name} {surname}{aside} {feat} {place}.
              The {athlete}{aside} {feat} in {town}.
              {place:cap}, the {athlete} from {town} {feat}.
              {town} {team} lost the {contest} {place}, and their {athlete} blamed the referee.
              {name} {surname}{aside} will miss the {contest} with a(n) {injury}.
              The {contest} between {town} and {country} was decided when the {athlete}{aside} {feat}.
              A(n) {athlete} of the {team}{aside} {feat}, and the crowd sang until midnight.
              The {team} have sold their {athlete}{aside} to a club in {town}."""
            "weather body",
            Rules.lines
                """A(n) {sky} {change}, said {name} {surname}{aside} on {day}.
              The {forecaster} in {town} expects {calm} after {day}, {name} {surname}{aside} reported {place}.
              The {sky} that reached {town} {place} {change}.
              {place:cap}, a(n) {sky} {change}.
              Temperatures in {town} will change by {few} degrees, and a(n) {sky} {change}.
              {name} {surname}{aside} warned that the {sky} {change}.
              The {region} of {country} can look forward to {calm}, although a(n) {sky} {change}.
              The {sky} started {place} and {change}."""
            "cooking body",
            Rules.lines
                """The {plate} of {name} {surname}{aside} {method}.
              The {chef}{aside} explains why {plate} {method}.
              {name} {surname}{aside} taught {few} beginners to make {plate} {place}.
              {place:cap}, a(n) {chef} from {town} showed how to season {plate} with {seasoning}.
              Melt the butter in a(n) {pan}, add {seasoning}, and the {plate} is ready: so says {name} {surname}{aside} from {town}.
              The {chef} from {country}{aside} says that {plate} {method}.
              A new book by {name} {surname}{aside} holds {few} recipes for {plate}.
              The {plate}, cooked in a(n) {pan} {place}, {method}."""
            "music body",
            Rules.lines
                """The {player}{aside} {act} {place}.
              {name} {surname}{aside} {act} at the {stage} in {town}.
              {place:cap}, a(n) {player} from {town} {act}.
              The new {piece} by {name} {surname}{aside} was heard for the first time {place}.
              A(n) {player} from {country}{aside} {act} on {day}.
              The {piece} for {instrument} and {inst2=instrument} closes with a chorus, which {name} {surname}{aside} wrote {place}.
              The {stage} in {town} was sold out when the {player}{aside} {act}.
              The {group} that {name} {surname}{aside} founded in {town} {act}."""
        ]

    /// The shared rules with the words of the four topics, for text about other things.
    let vocabulary: Rules =
        Lexicon.rules
        |> Rules.extend (List.concat [ sportsRules; weatherRules; cookingRules; musicRules ])

    let private rules =
        lazy (vocabulary |> Rules.extend (List.concat [ asides; shared; headlines; bodies ]))

    /// Row `index` of the endless stream of a seed.
    let row (seed: int) (index: int) : Row =
        let chance = Chance.ofRow "topic" seed index
        // Every four rows in a row hold the four labels once, in an order of their own.
        let label =
            (Chance.ofRow "topic labels" seed (index / 4)).Shuffle(labels)[index % 4]

        let other = chance.Pick(labels |> Array.filter ((<>) label))
        let third = chance.Pick(labels |> Array.filter ((<>) label))

        let plainPlaces =
            [|
                "on {day}"
                "in {town}"
                "on {day} evening"
                "last week"
                "in front of a small crowd"
                "near {town}"
            |]

        // An aside or a place is another topic's more often than not; the headline seldom gives the topic away.
        let borrowed (kind: string) (topic: string) (odds: float) (plain: string[]) =
            if chance.Odds odds then
                [| $"{{{topic} {kind}}}" |]
            else
                plain

        let season =
            if label = "weather" then
                let skies, changes = if chance.Odds 0.3 then hot else cold
                [ "sky", skies; "change", changes ]
            else
                []

        let rules =
            rules.Value
            |> Rules.extend season
            |> Rules.extend
                [
                    "aside", borrowed "aside" other 0.65 [| "" |]
                    "place", borrowed "place" third 0.5 plainPlaces
                ]

        let headline =
            if chance.Odds 0.4 then
                $"{{{label} headline}}"
            else
                "{dull headline}"

        {
            Input = Template.expand rules [] chance $"{headline}. {{{label} body}}"
            Target = label
        }
