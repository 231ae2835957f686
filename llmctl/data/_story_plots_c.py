"""Story plots, third part; see the first for the form."""

from __future__ import annotations

from llmctl.data._story_plots_a import Plot

MISTAKE = Plot(
    (
        (
            "thing t how blame fix extra",
            """
blue china vase; vase; bumped into it while dancing; a gust of wind; glued the pieces together, one by
one; it had a golden line where each crack had been, and it looked even prettier

jar of raspberry jam; jar; tried to juggle with it; the cat; scrubbed the sticky floor and picked fresh
raspberries; they made two new jars, and {hero} was allowed to lick the pan

best straw hat; hat; sat down on it without looking; a passing elephant; steamed the straw and bent it
back into shape; {elder} tied a ribbon over the dent, and everyone wanted one just like it

picture of great-grandfather; picture; threw a pillow at {friend}; a tiny earthquake; made a new frame out
of cherry wood; great-grandfather seemed to wink in it

big blue mixing bowl; bowl; used it as a drum; the neighbour's goose; swept up the pieces and saved up for
a new bowl; the first pancakes from it were the lightest that anybody had ever eaten

knitted shawl; shawl; used it as a pirate sail; a family of moths; learned to knit and filled the hole
with a small red heart; {elder} wore it with the heart on the outside

prize marrow; marrow; rode on it like a pony; a hungry badger; dug a new bed and planted nine seeds; one
of them grew so large that it needed a wheelbarrow

garden window; window; kicked a ball without thinking; a confused woodpecker; swept up the glass and saved
up for a new pane; the new pane let in more sunshine than the old one

ship in a bottle; bottle; tried to talk to the tiny captain; the tide; built the ship again with tweezers;
now it had a passenger on deck who looked just like {hero}
""",
        ),
        (
            "feel tell",
            """
{His} tummy felt as if it were full of frogs; the frogs in {hero}'s tummy hopped away at once

The secret sat on {his} chest like a fat cat; the fat cat jumped off {hero}'s chest

Even {his} favourite pudding tasted like cardboard; suddenly {hero} was hungry again

{His} ears went hot whenever anyone said a word; {hero}'s ears grew cool again

The lie felt like a stone in {his} shoe; the stone rolled out of {hero}'s shoe
""",
        ),
    ),
    """
<open>

[There was one rule in the {home}: be careful with {elder}'s {thing}.|The thing that {elder} treasured
most was {ehis} {thing}.] But [one rainy day|one dull afternoon|one morning|last Thursday], {hero} {how}.
[Oops!|Oh no!|It was all over in a second.] The {t} was ruined.

When {elder} came in, {ehe} [stared|gasped|turned pale]. "What happened?" {ehe} asked. "It was... it was
{blame}," said {hero}. Then {he} went out to play by {s1}, but [nothing was any fun|the games were no
fun]. {Feel}. "[What is wrong?|Are you ill?]" asked {friend}. {Hero} told {fhim} the truth. "[Saying sorry
is hard for a minute. A fib is hard all day|Tell {elder}. I will come with you]," said {friend}.

<stuck> So {he} went back. "It was not {blame}," {he} said. "It was me. [I am so sorry|I was afraid to
tell you]." [{Elder} was quiet for a moment, and then {ehe} opened {ehis} arms.|{Elder} knelt down and
looked at {him}.] "[The truth is worth more than any {t}|It took courage to tell me]," {ehe} said. And
{tell}.

Together they put things right. {Hero} {fix}. In the end, {extra}. ["Everyone makes mistakes," said
{elder}. "The trick is to mend them."|"What counts is what you do next," said {elder}.|]
""",
)

WISH = Plot(
    (
        (
            "wish granted fun bad spell lesson",
            """
everything tasted of chocolate; Porridge tasted of chocolate, and so did [soup|cabbage|toast]; ate six
bowls of turnips and laughed; by evening even the water tasted of chocolate, and {he} was terribly
thirsty; I want things to taste like themselves again; A treat is only a treat if it is not always there

I never had to sleep; The whole night was free for playing; played all night long; by the third day {he}
put salt in {his} tea and walked into a wall, and there was nobody awake to play with at midnight; I want
to be tired and then be rested; Good days are made of good nights

it would never rain again; The clouds rolled up and marched away; played in the sun from morning to night;
the flowers hung their heads and the frogs packed their bags; let the clouds come home; Even rain is
somebody's sunshine

I were the tallest in the land; {His} head shot up above the chimneys; picked apples from the top of every
tree; {he} could not fit through the door, and nobody could hear {him} whisper; I want to be exactly my
own size; Everyone is the right size for something

animals and things could talk; The chair said "Good morning" and the kettle sang; chatted with the teapot
for an hour; the socks quarrelled, the clock nagged, and the sausages begged not to be eaten; let the
quiet come back; Silence is a kind of music too

I could float; {His} feet left the ground; turned nine somersaults above {s2}; a breeze carried {him} off,
and {he} had to hold on to a weathervane; put my feet on the ground; It is nice to fly, but it is nicer to
land

every day were my birthday; There were cakes and candles each morning; opened presents for a week;
{friend} had run out of presents, and the cake tasted of nothing at all; give me back my ordinary days;
Ordinary days make the special ones shine

nobody could tell me what to do; All rules went up in a puff of smoke; had jelly for breakfast and wore a
bucket as a hat; nobody told {him} to wrap up warm or wished {him} good night, and that felt cold and
lonely; I want somebody to care what I do; Rules can be a way of saying "I love you"

I had a hundred copies of myself; A hundred copies stood in a row and waved; played a game of tag that
filled the whole field; they all wanted the same chair, the same spoon and the same bed; leave just one of
me, please; One of you is quite enough, and that one is just right
""",
        ),
        (
            "source_of catch",
            """
a tiny silver fish that was stranded on the sand; {hero} put it back in the water

a shooting star that was stuck in a bush; {hero} shook it free

an old bottle with a sneezing genie inside; {hero} pulled out the cork

a fairy whose wing was caught in a web; {hero} set her loose with one finger

a wishing stone that was lost in the dust; {hero} polished it until it shone

a little wind that was trapped in a sack; {hero} untied the string
""",
        ),
    ),
    """
<open>

<day>, near {s1}, {he} came upon {source_of}. At once {catch}. "[Thank you|You are kind]," said a voice as
thin as [thread|smoke|glass]. "For that, you may have a wish." {Hero} [did not think for long|thought for
about a second|hopped with joy]. "I wish that {wish}!" {he} said.

[Whoosh!|Pop!|There was a flash and a smell of toffee.] {Granted}. [What fun it was!|] {Hero} {fun}. But
[soon|before long|little by little], things changed: {bad}. ["This is not what I meant," groaned {hero}.|]

["Can you take it back?" asked {friend}.|<stuck>] So {he} ran back to {s1} and called as loudly as {he}
could. "Please," {he} said, "{spell}!" The thin voice laughed, but kindly. "[I wondered how long it would
take|Most people come back on the third day]," it said. And [pop|whoosh], everything was as it had been.

[{Hero} gave {friend} the biggest hug.|{Hero} ran home and kissed the door.||] "{Lesson}," {hero} told
{elder}. [{Elder} smiled. "I could have told you that for nothing," {ehe} said.|"Now that," said {elder},
"is a very wise thing to know."||]
""",
)

SOUP = Plot(
    (
        (
            "cold empty dish base",
            """
It was the hungriest week of the winter; every cupboard held only one or two things; soup; a big pot of
hot water

The harvest had been small; nobody had enough for a proper meal; stew; a kettle of melted snow

The mill had broken down; there was not a loaf of bread to be found; pie; a wide dish and a pinch of flour

The road was blocked by a fallen rock; no cart could bring any food; feast; a long table and a clean cloth

It had rained for a month; all the picnics were cancelled; salad; the largest bowl in the house

A flood had washed away the market; each pantry was nearly bare; dumpling soup; an iron pot and a spoon
""",
        ),
        (
            "n1 i1 n2 i2",
            """
old Mrs. Crabtree; one wrinkled carrot; the grumpy miller; a bag of barley

the goose girl; two brown eggs; a sly old fox; an onion, and he blushed as he gave it

the tailor; a head of cabbage; the chimney sweep; a sprig of smoked rosemary

Mr. Pottle the hermit; three potatoes; the twins from the corner; a fistful of peas

the night watchman; a lump of cheese; a shy mole; a bundle of wild garlic

Madam Plum; a leek as long as her arm; the drummer; a turnip shaped like a drum

the ferryman; a string of mushrooms; a stout beetle; one grain of salt, carried on his back

Doctor Finch; half a pumpkin; the bell ringer; a bowl of beans
""",
        ),
        (
            "n3 i3 no",
            """
the innkeeper; a knob of butter; I have nothing to spare

the rich merchant; a pinch of saffron, worth its weight in gold; What is mine is mine

the schoolmaster; a handful of lentils, counted twice; It does not add up

the proud hen; a cob of sweet corn; I never share my dinner

the locksmith; a jar of pickled tomatoes from behind seven locks; My larder is locked
""",
        ),
    ),
    """
<open>

{Cold}, and {empty}. {Friend}'s tummy [rumbled|growled|grumbled]. "I have only [a crust|a radish|one small
apple]," {fhe} said. "I have no more than that," said {hero}. <stuck> "What if [everybody's little bit
went into one pot|we put all the little bits together]?"

So {he} set up {base} beside {s1}, and {he} called, "[Come and share|Bring what you have]!" First came
{n1} with {i1}. Then came {n2} with {i2}. [It began to smell good.|The smell drifted past {s2}.|Noses
twitched at every window.|]

Only {n3} stayed away. "{No}," said {n3}. "There is a place for you all the same," said {hero}. At last
{n3} came out, [red in the face|looking at the ground|step by step], and added {i3}. That was the very
thing the {dish} needed!

[What a meal it was!|Nobody had ever tasted such a {dish}.|] {Crowd} ate until [they could eat no
more|every plate was clean]. "[Alone we each had a bite. Together we have plenty|A little and a little
make a lot]," said {hero}. [Every year since then, {crowd} have met by {s1} to do it again.|<night>]
""",
)

LEARNING = Plot(
    (
        (
            "what fail1 fail2 tip done use",
            """
swim; {he} sank like a teapot; {he} swallowed half the pond; Lie back and let the water hold you; {he} was
floating, and then kicking, and then swimming; a tiny vole fell into the water, and {hero} swam out and
brought him safely to the bank

whistle; only air came out; only crumbs came out; Think of something that makes you smile, and blow
through the smile; out came a note as clear as glass; {friend} got lost in thick fog, and {hero} whistled
until {fhe} found the way home

ride a bicycle; {he} fell to the left; {he} fell to the right; Do not look at your wheels. Look at where
you want to go; {he} was rolling along with the wind in {his} ears; {elder} needed medicine in a hurry,
and {hero} rode to fetch it

skate; {his} feet went in two directions; {he} sat down with a bump; Bend your knees and push, as if you
were sweeping the floor; {he} was gliding over the ice like a swan; a red mitten and its owner slid out
too far, and {hero} skated over with a long branch

read; the letters jumped about like fleas; the word "enough" made no sense at all; Take one letter by the
hand, and the next will follow; the letters stood still and turned into a story; somebody nearly ate the
berries by {s2}, and only {hero} could read the sign that said "Poison"

tie a proper knot; it came undone; {he} tied {his} own thumb; Up through the hole, around the tree, and
back down the hole again; the knot held tight, however hard {he} pulled; {friend}'s boat began to drift
away, and {hero} threw a rope and tied it fast

climb; {he} slid straight down again; {he} got stuck halfway; Use your legs and never look further than
the next branch; {he} was sitting at the very top; a kitten was crying in the highest tree, and {hero}
climbed up and brought her down

bake bread; it was as hard as a brick; it was as flat as a hat; Let the dough sleep in a warm place, and
do not wake it; there stood a loaf, round and golden; the baker fell ill, and {hero} baked enough bread
for all {crowd}

play the fiddle; it sounded like a cat in a bucket; it sounded like two cats; Play slowly, as if you were
stroking the strings; a soft, sweet tune came out; the baby next door would not stop crying, and {hero}
played her to sleep
""",
        ),
    ),
    """
<open> There was one thing {hero} could not do: {he} could not {what}. {Friend} could do it easily.

[On Monday|The first time], {hero} tried, and {fail1}. [On Tuesday|The second time], {he} tried again, and
{fail2}. "[I will never learn|I give up]," {he} grumbled, and {he} sat down by {s1}. ["You have not
failed," said {elder}. "You have only not finished."|"Everyone starts by being bad at it," said
{elder}.||] <stuck>

Along the path came {ahelper}. "I cannot {what}," said {hero}. "[I could not do it either, once|I know
that feeling well]," said the {helper}. "{Tip}." {Hero} tried it that way, once and twice and three times.
All of a sudden, {done}! "<wow>! I can do it!" {he} shouted.

And that was lucky, because [the very next week|only two days later|soon afterwards], {use}. ["You were so
quick!" said {friend}. "I was slow first," said {hero}.|"Thank goodness that you kept trying," said
{elder}.|Later {he} taught the little ones, and {he} never laughed when they got it wrong.]
""",
)

STAR = Plot(
    (
        (
            "visitor looked from_ cry need1 way home_end after",
            """
star; was no bigger than a plum and glowed like a candle; the sky; I leaned out too far to look at you;
high; up the tallest ladder, on the shoulders of {crowd}; it jumped back into its own dark gap in the sky;
one small star has winked at {hero} every night

raindrop; was round and blue and could not stop wobbling; a passing cloud; I let go too early; high; in a
thimble tied to a red balloon; the cloud took it back with a happy rumble; the first drop of every shower
has landed on {hero}'s nose, as soft as a kiss

snowflake; had six perfect points and shivered in the sun; the north; the wind dropped me when it sneezed;
cold; in a box of ice, all the way to the snowy peak; it danced off with its hundred sisters; one
snowflake has tapped at {hero}'s window each winter

sunbeam; was warm and yellow and hid in a shoe; the sun; I fell asleep and missed the sunset; bright; in a
mirror to the hilltop, at the very first minute of dawn; it slid along the first light straight back to
the sun; a warm yellow beam has woken {hero} each morning, right on time

little moon; was white and shy and could not sleep; a far-off planet; I rolled away while I was playing;
dark; to the deepest pool, where the night sky was reflected; it sank into the sky in the water and rose
in the sky above; the moon has shone a little brighter over {hero}'s {home}

baby cloud; was soft and grey and rained whenever it was sad; the west; I stopped to look at a butterfly;
breezy; on a kite string, up to the ridge where the west wind blows; the big clouds opened, and it
snuggled in between; one small cloud has kept {hero} shady on hot days

echo; was invisible and could only be heard; the mountains; I followed a nice loud yodel, and then it
stopped; rocky; inside a big brass horn, all the way to the cliffs; when {hero} shouted "Goodbye!" the
echo answered from its own rocks; {hero} has only had to shout "Hello!" to hear a happy hello come back
""",
        ),
        (
            "try1 try2",
            """
First they threw it as far as they could, but it came down in a haystack; Then they asked a goose to carry
it, but she was ticklish

First they tried a big spring, but it went "boing" and broke; Then they built a tower of chairs, but it
fell over

First they blew very hard, but they only grew dizzy; Then they asked a rooster for advice, but he only
talked about himself

First they wrote a letter asking for help, but a snail delivered it; Then they tried a seesaw, but it
launched {friend} into a bush
""",
        ),
    ),
    """
<open>

<day>, {hero} heard somebody crying [behind|beside] {s1}. It was {a visitor}! It {looked}. "[Where do you
come from?|How did you get here?]" asked {hero}. "I come from {from_}," sobbed the {visitor}. "{Cry}, and
now I cannot get home."

"[We will help you|Do not cry]," said {hero}, and {he} ran to fetch {friend}. {Try1}. [{Try2}.||] <stuck>

They asked {ahelper} by {s2}. "[Everything goes home in its own way|Things belong with others of their
kind]," said the {helper}. "Find a place that is {need1}, and wait for the right moment." [Now {hero}
understood.|"Of course!" cried {hero}.] They took the {visitor} {way}. ["Ready?" asked {hero}. "Ready,"
said the {visitor}.|] And {home_end}.

["I shall miss it," said {friend}.|{Hero} waved until {his} arm was tired.|] [Ever since then|To this
day], {after}. [{Elder} says it is only {his} fancy. {Hero} knows better.|"Good night," {hero} always
says.||]
""",
)

LETTER = Plot(
    (
        (
            "to_whom inside moment",
            """
a toymaker who never smiled; Your toys made my childhood bright. Thank you, from a girl who is a
grandmother now; The toymaker read it twice, and for the first time in years he smiled

an old sea captain on the hill; Dear brother, I am sorry that we quarrelled. Please come to tea; The
captain put on his best coat and ran down the hill like a boy

a lonely giantess beyond the ridge; You are invited to our party. Please bring your drum; The giantess
cried one tear as big as a bathtub, and it was a happy one

the queen of the beavers; The river is rising. Raise your dam before the full moon; The queen gave orders
at once, and not one lodge was washed away

a clown who had lost his jokes; Why did the cheese cross the road? Turn over to find out; The clown turned
it over, laughed until he fell off his chair, and remembered every joke he ever knew

a hermit in a cave; Knock, knock. We miss you; The hermit said, "Who is there?" and came out to see

a young doctor in the next valley; My baby has a fever. Please hurry; The doctor took her bag and came so
fast that the baby was laughing again by supper

a scarecrow in the far field; The crows are sorry, and they would like to be friends; The scarecrow opened
his stiff arms, and forty crows sat down on them
""",
        ),
        (
            "block pass",
            """
the bridge was gone; asked a long-legged heron for a ride across

a thick fog rolled in; followed the sound of a sheep bell, step by step

a bull stood in the gate; hummed to the bull until it lay down and dozed off

the path split into three; asked a snail, who had crossed all three and knew every pebble

a flock of geese would not let anyone pass; said "please" to each goose in turn, which took quite some
time

the wind snatched the letter away; chased it through puddles and caught it on the tip of a thistle

a great heap of snow had covered the road; dug a tunnel and crawled through on {his} tummy
""",
        ),
    ),
    """
<open>

<day>, {hero} found a letter lying by {s1}. [The rain had washed the stamp off.|The postman must have
dropped it.] It was addressed to {to_whom}. "[That is a long way|You could just leave it there]," said
{friend}. "[Somebody is waiting for it,|What if it is important?]" said {hero}. {He} packed [a
sandwich|two apples|a bun] and set out.

{He} walked past {s2} and on to where {he} had never been before. Halfway there, {block}. <stuck> So {he}
{pass}. [By then {his} feet were sore.|Then it began to drizzle.|] [{He} thought of turning back, but {he}
had come so far already.|]

At last {he} arrived and knocked. "I have a letter for you," said {hero}, quite out of breath. [They
opened it together.|The envelope was crumpled, but the words were safe.] It said: "{Inside}." {Moment}.

The next week, there was a letter for {hero} too. It said: "[Thank you, dear {kind}|With love from a new
friend|You are always welcome here]." <night>
""",
)

PLOTS_C = {
    "mistake": MISTAKE,
    "wish": WISH,
    "soup": SOUP,
    "learning": LEARNING,
    "star": STAR,
    "letter": LETTER,
}
